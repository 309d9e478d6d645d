# Starts processes in every way that outlives a careless kill, all named as the file "mark" says, and ignores TERM.
MARK=$(cat mark)
trap '' TERM HUP INT
cling() { bash -c "trap '' TERM HUP INT; exec -a $MARK sleep 1000"; }

cling &
setsid bash -c "trap '' TERM HUP; exec -a $MARK sleep 1000" &
( (cling &) & )
(setsid setsid bash -c "exec -a $MARK sleep 1000" > /dev/null 2>&1 < /dev/null &)
nohup bash -c "exec -a $MARK sleep 1000" > /dev/null 2>&1 &
(env -i /bin/bash -c "cd /; exec -a $MARK sleep 1000" &)
bash -c "kill -STOP \$\$; exec -a $MARK sleep 1000" &
echo up
while :; do sleep 1; done
