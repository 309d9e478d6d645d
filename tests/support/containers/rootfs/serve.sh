#!/bin/sh
# The first process of the test image: a web server that runs /answer.sh for every connection.
trap 'echo "told to end" >&2; exit 0' TERM
trap 'echo "the model is broken" >&2; exit 9' USR1
nc -ll -p "${PORT:-3000}" -e /answer.sh &
while :; do wait; done
