# Takes memory until something stops it, in the way named by the file "way".
case $(cat way) in
  python) exec python3 -c '
held = []
while True: held.append(bytearray(16 << 20))' ;;
  perl) exec perl -e 'my @held; push @held, "x" x (16 << 20) while 1' ;;
  node) exec node -e 'const held = []; for (;;) held.push(Buffer.alloc(16 << 20, 1))' ;;
  shell) x=x; while :; do x=$x$x; done ;;
  tail) exec tail /dev/zero ;;
  # Each stays below the limit of one process; together they do not.
  family) for n in 1 2 3 4 5 6 7 8; do perl -e 'my $held = "x" x (48 << 20); sleep 100' & done; wait ;;
esac
