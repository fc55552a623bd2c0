// POSIX message queues, System V semaphores, shared memory and messages with all their commands; keys.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *said(long result) { return result < 0 ? strerrorname_np(errno) : "done"; }
static int recent(time_t when) { return when && time(0) - when < 60; }

static void posix_queues(void) {
  char name[40];
  sprintf(name, "/lyrebird-%d", getpid());
  struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 32}, got = {0};
  const mqd_t queue = mq_open(name, O_CREAT | O_EXCL | O_RDWR | O_NONBLOCK, 0600, &attributes);
  printf("open %s\n", said(queue));
  if (queue < 0) return;
  printf("send %s", said(mq_send(queue, "low", 3, 1)));
  printf(" %s", said(mq_send(queue, "high", 4, 9)));
  printf(" too long %s\n", said(mq_send(queue, "0123456789012345678901234567890123456789", 40, 1)));
  mq_getattr(queue, &got);
  printf("%ld %ld %ld %#lx\n", got.mq_maxmsg, got.mq_msgsize, got.mq_curmsgs, got.mq_flags);
  char text[32] = {0};
  unsigned priority = 0;
  for (int k = 0; k < 3; k++) {
    memset(text, 0, sizeof text);
    const ssize_t bytes = mq_receive(queue, text, sizeof text, &priority);
    { printf("%zd", bytes); printf(" %s", text); printf(" %u", priority); printf(" %s\n", said(bytes)); }
  }
  printf("short %s\n", said(mq_receive(queue, text, 3, 0)));
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGRTMIN + 1), sigprocmask(SIG_BLOCK, &set, 0);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_int = 1234};
  printf("notify %s", said(mq_notify(queue, &event)));
  mq_send(queue, "x", 1, 0);
  siginfo_t info;
  printf(" %d", sigtimedwait(&set, &info, &(struct timespec){5, 0}) == SIGRTMIN + 1);
  printf(" code %d value %d self %d\n", info.si_code, info.si_value.sival_int, info.si_pid == getpid());
  attributes.mq_flags = 0;
  printf("set %s", said(mq_setattr(queue, &attributes, &got)));
  printf(" was %#lx\n", got.mq_flags);
  mq_receive(queue, text, sizeof text, 0);
  struct timespec past = {1, 0};
  printf("past %s\n", said(mq_timedreceive(queue, text, sizeof text, 0, &past)));
  printf("unlink %s", said(mq_unlink(name)));
  printf(" %s\n", said(mq_unlink(name)));
}

static void semaphores(void) {
  union {
    int value;
    struct semid_ds *data;
    unsigned short *array;
    struct seminfo *info;
  } argument;
  const int id = semget(IPC_PRIVATE, 3, 0640);
  unsigned short values[3] = {5, 0, 2};
  struct semid_ds data;
  struct seminfo info;
  printf("semget %s\n", said(id));
  argument.array = values;
  printf("SETALL %s\n", said(semctl(id, 0, SETALL, argument)));
  memset(values, 0, sizeof values);
  printf("GETALL %s", said(semctl(id, 0, GETALL, argument)));
  printf(" %d %d %d\n", values[0], values[1], values[2]);
  argument.value = 7;
  printf("SETVAL %s", said(semctl(id, 1, SETVAL, argument)));
  printf(" GETVAL %d\n", semctl(id, 1, GETVAL));
  struct sembuf operations[2] = {{0, -2, 0}, {2, 1, SEM_UNDO}};
  printf("semop %s", said(semop(id, operations, 2)));
  printf(" GETPID %d", semctl(id, 0, GETPID) == getpid());
  printf(" GETNCNT %d GETZCNT %d\n", semctl(id, 0, GETNCNT), semctl(id, 0, GETZCNT));
  argument.data = &data;
  memset(&data, 0x55, sizeof data);
  printf("IPC_STAT %s", said(semctl(id, 0, IPC_STAT, argument)));
  printf(" %#o own %d count %lu operated %d changed %d\n", data.sem_perm.mode, data.sem_perm.uid == getuid() && data.sem_perm.cgid == getgid(), (unsigned long)data.sem_nsems, recent(data.sem_otime), recent(data.sem_ctime));
  data.sem_perm.mode = 0600;
  printf("IPC_SET %s", said(semctl(id, 0, IPC_SET, argument)));
  semctl(id, 0, IPC_STAT, argument);
  printf(" %#o\n", data.sem_perm.mode);
  struct timespec soon = {0, 1000000};
  operations[0] = (struct sembuf){0, -100, 0};
  printf("wait %s", said(semtimedop(id, operations, 1, &soon)));
  operations[0].sem_flg = IPC_NOWAIT;
  printf(" now %s\n", said(semop(id, operations, 1)));
  argument.info = &info;
  printf("IPC_INFO %d", semctl(0, 0, IPC_INFO, argument) >= 0);
  printf(" %d %d %d\n", info.semmsl, info.semvmx, info.semopm);
  printf("SEM_INFO %d", semctl(0, 0, SEM_INFO, argument) >= 0);
  printf(" %d\n", info.semusz >= 1);
  const int highest = semctl(0, 0, SEM_INFO, argument);
  int found = 0;
  argument.data = &data;
  for (int k = 0; k <= highest; k++) found += semctl(k, 0, SEM_STAT, argument) == id && data.sem_nsems == 3;
  printf("SEM_STAT %d", found), found = 0;
  for (int k = 0; k <= highest; k++) found += semctl(k, 0, 20 /* SEM_STAT_ANY */, argument) == id && data.sem_nsems == 3;
  printf(" SEM_STAT_ANY %d\n", found);
  printf("wrong %s", said(semctl(id, 9, GETVAL)));
  printf(" %s\n", said(semctl(id, 0, 999)));
  printf("IPC_RMID %s", said(semctl(id, 0, IPC_RMID)));
  printf(" %s\n", said(semctl(id, 0, GETVAL)));
}

static void memory(void) {
  const int id = shmget(IPC_PRIVATE, 10000, 0600);
  struct shmid_ds data;
  printf("shmget %s\n", said(id));
  char *there = shmat(id, 0, 0), *again = shmat(id, 0, SHM_RDONLY);
  strcpy(there, "shared");
  printf("%s %d\n", again, there != again);
  fflush(stdout);
  if (!fork()) strcpy(there + 100, "by the child"), _exit(0);
  wait(0);
  printf("%s\n", again + 100);
  printf("IPC_STAT %s", said(shmctl(id, IPC_STAT, &data)));
  printf(" %zu attached %lu own %d times %d%d%d\n", (size_t)data.shm_segsz, (unsigned long)data.shm_nattch, data.shm_cpid == getpid(), recent(data.shm_atime), recent(data.shm_ctime), recent(data.shm_dtime));
  data.shm_perm.mode = 0640;
  printf("IPC_SET %s\n", said(shmctl(id, IPC_SET, &data)));
  struct shminfo limits;
  printf("IPC_INFO %d", shmctl(0, IPC_INFO, (void *)&limits) >= 0);
  printf(" %lu %lu\n", (unsigned long)limits.shmmin, (unsigned long)limits.shmmni);
  struct shm_info use;
  const int highest = shmctl(0, SHM_INFO, (void *)&use);
  int found = 0;
  for (int k = 0; k <= highest; k++) found += shmctl(k, SHM_STAT, &data) == id && data.shm_segsz == 10000;
  printf("SHM_INFO %d SHM_STAT %d\n", use.used_ids > 0 && use.shm_tot >= 3, found);
  { printf("SHM_LOCK %s", said(shmctl(id, SHM_LOCK, 0))); printf(" SHM_UNLOCK %s\n", said(shmctl(id, SHM_UNLOCK, 0))); }
  printf("IPC_RMID %s", said(shmctl(id, IPC_RMID, 0)));
  shmctl(id, IPC_STAT, &data);
  printf(" %#o\n", data.shm_perm.mode);
  printf("shmdt %s", said(shmdt(there)));
  printf(" %s", said(shmdt(again)));
  printf(" %s\n", said(shmdt(again)));
}

static void messages(void) {
  struct {
    long type;
    char text[40];
  } m = {3, "third"};
  const int id = msgget(IPC_PRIVATE, 0600);
  struct msqid_ds data;
  printf("msgget %s\n", said(id));
  printf("msgsnd %s", said(msgsnd(id, &m, 6, 0)));
  m.type = 1, strcpy(m.text, "first");
  printf(" %s\n", said(msgsnd(id, &m, 6, IPC_NOWAIT)));
  printf("IPC_STAT %s", said(msgctl(id, IPC_STAT, &data)));
  printf(" messages %lu bytes %lu room %lu own %d times %d%d\n", (unsigned long)data.msg_qnum, (unsigned long)data.__msg_cbytes, (unsigned long)data.msg_qbytes, data.msg_lspid == getpid(), recent(data.msg_stime), recent(data.msg_ctime));
  memset(&m, 0, sizeof m);
  printf("by type %zd", msgrcv(id, &m, sizeof m.text, -2, 0));
  printf(" %ld %s\n", m.type, m.text);
  printf("copy %s\n", said(msgrcv(id, &m, sizeof m.text, 0, MSG_COPY | IPC_NOWAIT)));
  printf("too long %s", said(msgrcv(id, &m, 2, 0, 0)));
  printf(" cut %zd", msgrcv(id, &m, 2, 0, MSG_NOERROR));
  printf(" none %s\n", said(msgrcv(id, &m, 2, 0, IPC_NOWAIT)));
  data.msg_qbytes = 1000;
  printf("IPC_SET %s", said(msgctl(id, IPC_SET, &data)));
  msgctl(id, IPC_STAT, &data);
  printf(" %lu\n", (unsigned long)data.msg_qbytes);
  struct msginfo info;
  const int highest = msgctl(0, MSG_INFO, (void *)&info);
  int found = 0;
  for (int k = 0; k <= highest; k++) found += msgctl(k, MSG_STAT, &data) == id && data.msg_qbytes == 1000;
  printf("MSG_INFO %d MSG_STAT %d\n", info.msgpool > 0, found);
  printf("IPC_RMID %s\n", said(msgctl(id, IPC_RMID, 0)));
}

static void keys(void) {
  const long ring = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "lyrebird");
  printf("session %s\n", said(ring));
  if (ring < 0) return;
  const long key = syscall(SYS_add_key, "user", "a key", "payload", 7, KEY_SPEC_SESSION_KEYRING);
  printf("add %s\n", said(key));
  char text[64] = {0};
  printf("read %ld", syscall(SYS_keyctl, KEYCTL_READ, key, text, sizeof text));
  printf(" %s\n", text);
  printf("size %ld\n", syscall(SYS_keyctl, KEYCTL_READ, key, 0, 0));
  printf("update %s", said(syscall(SYS_keyctl, KEYCTL_UPDATE, key, "new", 3)));
  memset(text, 0, sizeof text);
  syscall(SYS_keyctl, KEYCTL_READ, key, text, sizeof text);
  printf(" %s\n", text);
  printf("search %d", syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "a key", 0) == key);
  printf(" request %d", syscall(SYS_request_key, "user", "a key", 0, 0) == key);
  printf(" none %s\n", said(syscall(SYS_request_key, "user", "no key", 0, 0)));
  memset(text, 0, sizeof text);
  syscall(SYS_keyctl, KEYCTL_DESCRIBE, key, text, sizeof text);
  printf("describe %s\n", strrchr(text, ';') ? strrchr(text, ';') : text);
  printf("permissions %s", said(syscall(SYS_keyctl, KEYCTL_SETPERM, key, 0x3f3f0000)));
  printf(" timeout %s", said(syscall(SYS_keyctl, KEYCTL_SET_TIMEOUT, key, 100)));
  printf(" unlink %s", said(syscall(SYS_keyctl, KEYCTL_UNLINK, key, KEY_SPEC_SESSION_KEYRING)));
  printf(" revoke %s\n", said(syscall(SYS_keyctl, KEYCTL_REVOKE, key)) ? "answered" : "");
  printf("wrong %s\n", said(syscall(SYS_keyctl, 9999)));
}

int main(void) {
  posix_queues();
  semaphores();
  memory();
  messages();
  keys();
}
