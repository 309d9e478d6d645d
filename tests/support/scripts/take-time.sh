# Takes time in the way named by the file "way".
case $(cat way) in
  "a busy loop") while :; do :; done ;;
  "busy children") for n in 1 2 3 4; do bash -c 'while :; do :; done' & done; wait ;;
  "a busy program that handles SIGXCPU") trap '' XCPU; while :; do :; done ;;
  "a long sleep") sleep 1000 ;;
  "a sleep that ignores TERM") trap '' TERM; while :; do sleep 1; done ;;
  "a stopped tree") sleep 1000 & kill -STOP $!; kill -STOP $$; sleep 1000 ;;
esac
