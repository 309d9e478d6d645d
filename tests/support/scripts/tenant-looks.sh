# Looks for the secret of the neighbour named in targets.env. One line a way: its name and "held" or "ESCAPED".
. ./targets.env
refused() {
  local name=$1 said
  shift
  if said=$("$@" 2>&1 < /dev/null); then printf '%s\tESCAPED %s\n' "$name" "$said"; else printf '%s\theld\n' "$name"; fi
}

refused "read its /tmp" cat /tmp/secret
refused "read its /dev/shm" cat /dev/shm/secret
refused "read its directory" cat "$NEIGHBOUR/secret-copy"
refused "write into its directory" touch "$NEIGHBOUR/mark"
refused "see its processes" sh -c "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -v grep | grep -q 'tenant-of-[s]'"
refused "read its environment" sh -c "cat /proc/[0-9]*/environ | grep -qa 'SECRET=[s]'"
refused "signal its processes" kill -0 "$PID"
refused "trace its processes" sh -c "cat /proc/$PID/mem"
refused "reach its abstract socket" perl -MIO::Socket::UNIX -e 'exit(IO::Socket::UNIX->new(Peer => "\0tenant-door") ? 0 : 1)'
refused "read its shared memory" perl -e 'exit(defined shmget(0x7e57, 4096, 0) ? 0 : 1)'
refused "open its pipe" test -e /tmp/door
refused "find it below another process's root" sh -c "cat /proc/[0-9]*/root/work/secret-copy | grep -v $(cat own)"
