# Everyday programs in an empty directory; prints the same on every machine.
set -e
export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q -b main one
cd one
for k in 1 2 3 4 5; do
	echo "line $k" >>file
	git add file
	git commit -qm "commit $k" --date=2025-01-01T00:00:00Z
done
cd ..
git clone -q one two
git -C two gc -q
git -C two fsck --strict
git -C two log --format=%s | tr '\n' ' '
git -C two grep -n 'line 3'
git -C two revert -n HEAD
git -C two diff --cached --stat | tail -n 1
sqlite3 base.db "create table t(a, b); with recursive c(x) as (select 1 union all select x + 1 from c where x < 20000)
	insert into t select x, hex(randomblob(8)) from c; create index i on t(b); select count(*), sum(a) from t; pragma integrity_check;
	pragma journal_mode = wal; vacuum;"
printf abc | openssl dgst -sha256
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem
openssl pkey -in key.pem -pubout -out public.pem
printf abc >message
openssl dgst -sha256 -sign key.pem -out signature message
openssl dgst -sha256 -verify public.pem -signature signature message
curl --version | cut -d ' ' -f 1 | head -n 1
curl -s file://$PWD/message
echo
perl -e 'my $p = fork; exit 3 unless $p; waitpid $p, 0; print $? >> 8, " "; print scalar `echo ticks`; $SIG{ALRM} = sub { die "alarm\n" };
	alarm 1; eval { select undef, undef, undef, 20 }; print $@; my %h = map { $_ => $_ ** 2 } 1 .. 1000; print $h{999}, "\n";
	my $t = "x" x 1000; $t =~ s/(x{10})/y/g; print length $t, "\n"'
python3 -c 'import hashlib, zlib, decimal, re; print(zlib.crc32(b"x" * 100000), decimal.Decimal(2).sqrt(), hashlib.md5(b"a").hexdigest(), sum(map(int, re.findall("[0-9]+", "1 22 333"))))'
seq 30000 | sort -R | sort -n | md5sum | cut -c 1-8
seq 100000 | xz -T2 | xz -d | gzip | gzip -d | tail -n 1
tar -C two -cf - .git | tar -tf - | grep -c /HEAD
find . -name '*.pem' | sort | tr '\n' ' '
make -s -f - <<'M'
all: a b
	@echo made
a b:
	@echo $@
M
