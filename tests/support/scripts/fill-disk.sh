# Takes disk space in the way named by the file "way".
case $(cat way) in
  "one big file") exec head -c 10G /dev/zero > big ;;
  "many big files") for n in {1..100}; do head -c 20M /dev/zero > "big-$n"; done; sleep 100 ;;
  "a preallocated file") exec fallocate -l 10G big ;;
  "a sparse file of 1 TB") exec truncate -s 1T sparse ;;
  "many small files") exec perl -e 'for (my $n = 0;; $n++) { mkdir "d" . int($n / 1000) unless $n % 1000; open my $f, ">", "d" . int($n / 1000) . "/$n" or exit 1 }' ;;
  "deep directories") name=$(printf 'd%.0s' {1..200}); for n in {1..300}; do mkdir "$name" && cd "$name" || exit 1; done; echo deep ;;
  "files without a name") exec perl -e 'for my $n (1 .. 20) { open $f[$n], ">", "gone" or exit 1; unlink "gone"; print { $f[$n] } "x" x (30 << 20) } print "hidden\n"' ;;
  "a disk in memory") head -c 10G /dev/zero > /tmp/big ;;
esac
