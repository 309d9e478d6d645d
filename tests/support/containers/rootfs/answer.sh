#!/bin/sh
# One request of the container protocol on stdin and stdout; `"die"` in the data ends the whole container instead of an answer.
read -r method path version
length=0
while read -r line; do
  line=$(printf %s "$line" | tr -d '\r')
  [ -n "$line" ] || break
  case "$line" in [Cc]ontent-[Ll]ength:*) length=${line#*: } ;; esac
done
body=$(head -c "$length")
case "$body" in
*'"die"'*)
  kill -USR1 1
  sleep 60
  ;;
esac
file=$(cat /models/weights 2>/dev/null)
answer="{\"greeting\":\"$GREETING\",\"path\":\"$path\",\"weights\":\"$file\",\"openFiles\":$(ulimit -n),\"asked\":${body:-null}}"
printf 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s' "${#answer}" "$answer"
