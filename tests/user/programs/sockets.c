// Sockets: descriptors, credentials and times beside the data, options of many levels, messages in one call, a netlink dump.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *said(int result) { return result < 0 ? strerrorname_np(errno) : "done"; }

static void print_control(struct msghdr *message) {
  printf("flags %#x, control %zu\n", message->msg_flags, message->msg_controllen);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
    printf("  level %d type %d bytes %zu", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len);
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
      int fd;
      memcpy(&fd, CMSG_DATA(c), sizeof fd);
      char text[16] = {0};
      printf(" reads %zd %s, close-on-exec %d", read(fd, text, sizeof text - 1), text, fcntl(fd, F_GETFD));
      close(fd);
    } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS) {
      struct ucred who;
      memcpy(&who, CMSG_DATA(c), sizeof who);
      printf(" self %d uid %d gid %d", who.pid == getpid(), who.uid == getuid(), who.gid == getgid());
    } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMP) {
      struct timeval when, now;
      memcpy(&when, CMSG_DATA(c), sizeof when);
      gettimeofday(&now, 0);
      printf(" %d", now.tv_sec - when.tv_sec < 60);
    } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
      struct timespec when;
      memcpy(&when, CMSG_DATA(c), sizeof when);
      printf(" %d", when.tv_nsec >= 0 && when.tv_nsec < 1000000000);
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) {
      int ttl;
      memcpy(&ttl, CMSG_DATA(c), sizeof ttl);
      printf(" ttl %d", ttl);
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      struct in_pktinfo info;
      memcpy(&info, CMSG_DATA(c), sizeof info);
      printf(" to %s", inet_ntoa(info.ipi_addr));
    }
    printf("\n");
  }
}

static void receive(int fd, int flags, size_t room) {
  char data[64] = {0}, control[512] = {0};
  struct iovec part[2] = {{data, 3}, {data + 3, 40}};
  struct msghdr message = {.msg_iov = part, .msg_iovlen = 2, .msg_control = control, .msg_controllen = room};
  const ssize_t got = recvmsg(fd, &message, flags);
  printf("%zd '%s' %s ", got, data, got < 0 ? strerrorname_np(errno) : "");
  if (got >= 0) print_control(&message);
}

static void unix_sockets(void) {
  int two[2], on = 1;
  socketpair(AF_UNIX, SOCK_DGRAM, 0, two);
  setsockopt(two[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
  const int file = memfd_create("file", 0);
  write(file, "inside", 6), lseek(file, 0, SEEK_SET);
  union {
    char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    struct cmsghdr align;
  } control = {0};
  struct iovec part = {"with both", 9};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  struct cmsghdr *c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(c), &file, sizeof file);
  c = CMSG_NXTHDR(&message, c);
  const struct ucred own = {getpid(), getuid(), getgid()};
  c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_CREDENTIALS, c->cmsg_len = CMSG_LEN(sizeof own);
  memcpy(CMSG_DATA(c), &own, sizeof own);
  printf("sendmsg %zd\n", sendmsg(two[1], &message, 0));
  receive(two[0], MSG_CMSG_CLOEXEC, 512);
  sendmsg(two[1], &message, 0);
  receive(two[0], 0, 20);  // no room for all
  message.msg_controllen = 5;
  printf("a short control %s\n", said(sendmsg(two[1], &message, 0)));
  struct mmsghdr many[3] = {0};
  struct iovec parts[3] = {{"one", 3}, {"two!", 4}, {"three", 5}};
  for (int k = 0; k < 3; k++) many[k].msg_hdr.msg_iov = &parts[k], many[k].msg_hdr.msg_iovlen = 1;
  printf("sendmmsg %d", sendmmsg(two[1], many, 3, 0));
  for (int k = 0; k < 3; k++) printf(" %u", many[k].msg_len);
  char into[3][8] = {0};
  for (int k = 0; k < 3; k++) parts[k] = (struct iovec){into[k], 8}, many[k].msg_len = 0;
  printf("\nrecvmmsg %d", recvmmsg(two[0], many, 3, MSG_DONTWAIT, &(struct timespec){1, 0}));
  for (int k = 0; k < 3; k++) printf(" %u %s", many[k].msg_len, into[k]);
  printf("\n");
  struct ucred peer;
  socklen_t bytes = sizeof peer;
  int stream[2];
  socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, stream);
  { printf("peer %s", said(getsockopt(stream[0], SOL_SOCKET, SO_PEERCRED, &peer, &bytes))); printf(" %d", peer.pid == getpid()); printf(" %u\n", bytes); }
  int pid_fd;
  bytes = sizeof pid_fd;
  { printf("pidfd %s", said(getsockopt(stream[0], SOL_SOCKET, 77 /* SO_PEERPIDFD */, &pid_fd, &bytes))); printf(" %u\n", bytes); }
  printf("read %s\n", said(read(stream[0], into, 1)));
  write(stream[1], "xyz", 3);
  int waiting = 0;
  ioctl(stream[0], FIONREAD, &waiting);
  printf("waiting %d\n", waiting);
  // An abstract name.
  struct sockaddr_un name = {.sun_family = AF_UNIX}, got = {0};
  const int length = sprintf(name.sun_path + 1, "lyrebird-%d", getpid()) + 3, listener = socket(AF_UNIX, SOCK_SEQPACKET, 0), client = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  { printf("bind %s", said(bind(listener, (void *)&name, length))); printf(" listen %s", said(listen(listener, 4))); }
  printf(" connect %s", said(connect(client, (void *)&name, length)));
  socklen_t size = sizeof got;
  const int accepted = accept4(listener, (void *)&got, &size, SOCK_CLOEXEC);
  printf(" accept %d, %u bytes of name\n", accepted >= 0, size);
  size = sizeof got;
  getpeername(client, (void *)&got, &size);
  printf("peer's name %d %s\n", size == (socklen_t)length, got.sun_path + 1 - 0 ? "abstract" : "");
  { printf("shutdown %s", said(shutdown(client, SHUT_WR))); printf(", read %zd\n", read(accepted, into, 1)); }
}

static void option(int fd, int level, int name, int value) {
  int got = -1, before = -1;
  socklen_t bytes = sizeof before;
  const int first = getsockopt(fd, level, name, &before, &bytes);
  { printf("%d", level); printf("/%d", name); printf(": %s", said(first)); }
  if (!first) printf(" %d", before);
  const int set = setsockopt(fd, level, name, &value, sizeof value);
  printf(", set %s", said(set));
  bytes = sizeof got;
  const int last = getsockopt(fd, level, name, &got, &bytes);
  { printf(", %s", said(last)); printf(" %u", bytes); }
  if (!last) printf(" %d", got);
  printf("\n");
}

static void options(void) {
  const int stream = socket(AF_INET, SOCK_STREAM, 0), datagram = socket(AF_INET, SOCK_DGRAM, 0), six = socket(AF_INET6, SOCK_DGRAM, 0);
  static const int plain[] = {SO_REUSEADDR, SO_KEEPALIVE, SO_BROADCAST, SO_OOBINLINE, SO_SNDBUF, SO_RCVBUF, SO_PRIORITY, SO_REUSEPORT, SO_PASSCRED, SO_RCVLOWAT, SO_SNDLOWAT, SO_TIMESTAMP, SO_TIMESTAMPNS,
                              SO_TYPE, SO_ACCEPTCONN, SO_PROTOCOL, SO_DOMAIN, SO_MARK, SO_BUSY_POLL, SO_INCOMING_CPU, SO_ZEROCOPY, SO_RXQ_OVFL, SO_NO_CHECK, SO_DEBUG, SO_DONTROUTE, SO_ERROR, 200};
  for (unsigned k = 0; k < sizeof plain / sizeof *plain; k++)
    if (plain[k] != SO_INCOMING_CPU) option(stream, SOL_SOCKET, plain[k], 1);
  static const int tcp[] = {TCP_NODELAY, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT, TCP_LINGER2, TCP_DEFER_ACCEPT, TCP_QUICKACK, TCP_USER_TIMEOUT, TCP_FASTOPEN, TCP_MAXSEG};
  for (unsigned k = 0; k < sizeof tcp / sizeof *tcp; k++) option(stream, IPPROTO_TCP, tcp[k], 90);
  static const int ip[] = {IP_TOS, IP_TTL, IP_PKTINFO, IP_RECVTTL, IP_MTU_DISCOVER, IP_RECVERR, IP_FREEBIND, IP_MULTICAST_TTL, IP_MULTICAST_LOOP, IP_BIND_ADDRESS_NO_PORT, IP_RECVTOS};
  for (unsigned k = 0; k < sizeof ip / sizeof *ip; k++) option(datagram, IPPROTO_IP, ip[k], 1);
  static const int ipv6[] = {IPV6_V6ONLY, IPV6_UNICAST_HOPS, IPV6_MULTICAST_LOOP, IPV6_RECVPKTINFO, IPV6_TCLASS, IPV6_MTU_DISCOVER};
  if (six >= 0)
    for (unsigned k = 0; k < sizeof ipv6 / sizeof *ipv6; k++) option(six, IPPROTO_IPV6, ipv6[k], 1);
  struct linger linger = {1, 30};
  struct timeval time = {3, 500000};
  socklen_t bytes = sizeof linger;
  setsockopt(stream, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), memset(&linger, 0, sizeof linger);
  { printf("linger %s", said(getsockopt(stream, SOL_SOCKET, SO_LINGER, &linger, &bytes))); printf(" %d", linger.l_onoff); printf(" %d", linger.l_linger); printf(" %u\n", bytes); }
  setsockopt(stream, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time), memset(&time, 0, sizeof time), bytes = sizeof time;
  { printf("timeout %s", said(getsockopt(stream, SOL_SOCKET, SO_RCVTIMEO, &time, &bytes))); printf(" %ld", (long)time.tv_sec); printf(" %ld", (long)time.tv_usec); printf(" %u\n", bytes); }
  char name[32] = {0};
  bytes = sizeof name;
  printf("congestion %s", said(getsockopt(stream, IPPROTO_TCP, TCP_CONGESTION, name, &bytes)));
  printf(" %s %u\n", name, bytes);
  struct tcp_info info;
  bytes = sizeof info;
  printf("tcp_info %s", said(getsockopt(stream, IPPROTO_TCP, TCP_INFO, &info, &bytes)));
  printf(" state %d %u\n", info.tcpi_state, bytes);
  struct ip_mreqn group = {.imr_multiaddr.s_addr = inet_addr("239.1.2.3"), .imr_address.s_addr = htonl(INADDR_LOOPBACK)};
  printf("join %s", said(setsockopt(datagram, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group)));
  printf(" leave %s\n", said(setsockopt(datagram, IPPROTO_IP, IP_DROP_MEMBERSHIP, &group, sizeof group)));
}

static void internet(void) {
  const int receiver = socket(AF_INET, SOCK_DGRAM, 0), sender = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from = {0};
  printf("bind %s\n", said(bind(receiver, (void *)&address, sizeof address)));
  socklen_t bytes = sizeof address;
  getsockname(receiver, (void *)&address, &bytes);
  int on = 1;
  setsockopt(receiver, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on);
  setsockopt(receiver, IPPROTO_IP, IP_RECVTTL, &on, sizeof on);
  setsockopt(receiver, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
  printf("sendto %zd\n", sendto(sender, "datagram", 8, 0, (void *)&address, sizeof address));
  receive(receiver, 0, 512);
  on = 0, setsockopt(receiver, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on), on = 1;
  setsockopt(receiver, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
  sendto(sender, "again", 5, 0, (void *)&address, sizeof address);
  receive(receiver, MSG_PEEK, 512);
  char data[4];
  bytes = sizeof from;
  const ssize_t got = recvfrom(receiver, data, sizeof data, MSG_TRUNC, (void *)&from, &bytes);
  printf("recvfrom %zd %.4s family %d %u\n", got, data, from.sin_family, bytes);
  printf("nothing more %s\n", said(recv(receiver, data, 1, MSG_DONTWAIT)));
  // A stream to a listener of our own.
  const int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
  address.sin_port = 0;
  bind(listener, (void *)&address, sizeof address), listen(listener, 1);
  bytes = sizeof address, getsockname(listener, (void *)&address, &bytes);
  printf("connect %s", said(connect(client, (void *)&address, sizeof address)));
  const int server = accept(listener, 0, 0);
  printf(" send %zd", send(client, "out of band", 11, MSG_NOSIGNAL));
  printf(" oob %zd\n", send(client, "!", 1, MSG_OOB));
  struct pollfd wait = {server, POLLIN | POLLPRI};
  usleep(20000);
  printf("poll %d", poll(&wait, 1, 1000));
  printf(" %#x", wait.revents);
  int mark = -1;
  char urgent = 0;
  recv(server, &urgent, 1, MSG_OOB);
  printf(" urgent %c, ", urgent);
  { printf("at mark %s", said(ioctl(server, SIOCATMARK, &mark))); printf(" %d\n", mark); }
  int queued = -1;
  printf("outq %s", said(ioctl(client, TIOCOUTQ, &queued)));
  printf(" %d\n", queued);
}

static void interfaces(void) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct ifreq request = {.ifr_name = "lo"};
  { printf("index %s", said(ioctl(fd, SIOCGIFINDEX, &request))); printf(" %d\n", request.ifr_ifindex); }
  { printf("mtu %s", said(ioctl(fd, SIOCGIFMTU, &request))); printf(" %d\n", request.ifr_mtu); }
  { printf("flags %s", said(ioctl(fd, SIOCGIFFLAGS, &request))); printf(" %#x\n", request.ifr_flags); }
  const int has_address = ioctl(fd, SIOCGIFADDR, &request);
  { printf("address %s", said(has_address)); printf(" %s\n", has_address ? "" : inet_ntoa(((struct sockaddr_in *)&request.ifr_addr)->sin_addr)); }
  const int mask = ioctl(fd, SIOCGIFNETMASK, &request);
  { printf("mask %s", said(mask)); printf(" %s\n", mask ? "" : inet_ntoa(((struct sockaddr_in *)&request.ifr_addr)->sin_addr)); }
  { printf("hardware %s", said(ioctl(fd, SIOCGIFHWADDR, &request))); printf(" %d\n", request.ifr_hwaddr.sa_family); }
  strcpy(request.ifr_name, "none0");
  printf("none %s\n", said(ioctl(fd, SIOCGIFMTU, &request)));
  char room[4096];
  struct ifconf list = {.ifc_len = sizeof room, .ifc_buf = room};
  printf("list %s", said(ioctl(fd, SIOCGIFCONF, &list)));
  for (int k = 0; k < (int)(list.ifc_len / sizeof(struct ifreq)); k++) printf(" %s", list.ifc_req[k].ifr_name);
  printf("\n");
}

static void netlink(void) {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  struct sockaddr_nl own = {.nl_family = AF_NETLINK};
  printf("bind %s", said(bind(fd, (void *)&own, sizeof own)));
  socklen_t bytes = sizeof own;
  getsockname(fd, (void *)&own, &bytes);
  printf(" port %d %u\n", own.nl_pid == (unsigned)getpid(), bytes);
  struct {
    struct nlmsghdr head;
    struct ifinfomsg body;
  } ask = {{sizeof ask, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {AF_UNSPEC}};
  printf("ask %zd\n", send(fd, &ask, sizeof ask, 0));
  static char answer[65536];
  for (int done = 0; !done;) {
    const ssize_t got = recv(fd, answer, sizeof answer, 0);
    if (got <= 0) break;
    int left = (int)got;
    for (struct nlmsghdr *m = (void *)answer; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
      if (m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR) {
        done = 1;
        break;
      }
      struct ifinfomsg *info = NLMSG_DATA(m);
      int rest = IFLA_PAYLOAD(m);
      printf("link %d type %d", info->ifi_index, info->ifi_type);
      for (struct rtattr *a = IFLA_RTA(info); RTA_OK(a, rest); a = RTA_NEXT(a, rest)) {
        if (a->rta_type == IFLA_IFNAME) printf(" %s", (char *)RTA_DATA(a));
        if (a->rta_type == IFLA_MTU) printf(" mtu %u", *(unsigned *)RTA_DATA(a));
      }
      printf("\n");
    }
  }
  ask.head.nlmsg_type = 9999, ask.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  send(fd, &ask, sizeof ask, 0);
  const ssize_t got = recv(fd, answer, sizeof answer, 0);
  struct nlmsghdr *m = (void *)answer;
  printf("wrong %d %d %d\n", got > 0, m->nlmsg_type, ((struct nlmsgerr *)NLMSG_DATA(m))->error);
}

int main(void) {
  unix_sockets();
  options();
  internet();
  interfaces();
  netlink();
}
