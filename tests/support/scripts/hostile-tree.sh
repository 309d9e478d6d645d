# Leaves a directory that is a trap for whoever walks, packs or removes it, and prints how many of its kinds it could make.
# A file "how-many" says how many empty files it makes instead of 20000.
made=0
make() { "$@" 2> /dev/null && made=$((made + 1)); }
write() { printf 'harmless' > "$1"; }

make ln -s /etc/passwd link-to-file
make ln -s /etc link-to-directory
make ln -s / link-to-root
make ln -s link-to-itself link-to-itself
make ln -s .. link-to-parent
make ln -s ../../../../../../etc/passwd link-out-by-dots
make ln -s /proc/self/environ link-to-environ
make ln -s nowhere link-to-nothing
make write file && make ln file hard-link
make mkfifo pipe
make perl -MIO::Socket::UNIX -e 'exit(IO::Socket::UNIX->new(Local => "socket", Listen => 1) ? 0 : 1)'
make write setuid && make chmod 4755 setuid
make write sticky && make chmod 7777 sticky
make write unreadable && make chmod 000 unreadable
make mkdir closed && make write closed/inside && make chmod 000 closed
make mkdir no-entry && make write no-entry/inside && make chmod 600 no-entry
deep=$PWD
name=$(printf 'd%.0s' {1..100})
for n in {1..300}; do mkdir "$name" && cd "$name" || break; done
cd "$deep" && made=$((made + 1))
mkdir many && (cd many && seq 1 "$(cat ../how-many 2> /dev/null || echo 20000)" | xargs touch) && made=$((made + 1))
make write "$(printf 'n%.0s' {1..255})"
make write $'new\nline'
make write $'carriage\rreturn'
make write -rf
make write '--checkpoint-action=exec=sh'
make write ' leading and trailing '
make write $'\e[2Jterminal'
make write '..\windows\path'
make write $'invalid-\xff-utf8'
make write $'reversed-\u202egnp.exe'
make write Case && make write case
make truncate -s 3G sparse
rm -f run.sh && make ln -s /etc/shadow run.sh
(while :; do printf 'growing' >> growing; done) &
make sleep 0.05
make mknod device c 1 3
echo "made $made"
