# Writes to stdout without end, or far too much, in the way named by the file "way".
case $(cat way) in
  lines) exec yes 'a line of output that says nothing' ;;
  "one endless line") exec head -c 10G /dev/zero | tr '\0' 'x' ;;
  "NUL bytes") exec head -c 10G /dev/zero ;;
  "binary") exec cat /usr/bin/perl /usr/bin/perl /usr/bin/perl /bin/bash /bin/bash ;;
  "terminal codes") exec yes $'\e[31mred\e[0m\e]0;title\a\r\e[2J' ;;
  "both streams") yes 'a line on stdout' & exec yes 'a line on stderr' >&2 ;;
  directives) exec yes "$(printf '::log warn %0500d\n::progress 0.5 %0500d' 1 2)" ;;
  "three megabytes in bits") for n in {1..3000}; do printf '%01000d\n' "$n"; done ;;
esac
