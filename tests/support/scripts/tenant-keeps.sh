# Holds a secret in every place where another run might look for it, until it is stopped.
SECRET=$(cat secret)
export SECRET
echo "$SECRET" > /tmp/secret
echo "$SECRET" > /dev/shm/secret
echo "$SECRET" > "$HOME/secret-copy"
mkfifo /tmp/door
perl -MIO::Socket::UNIX -e 'my $s = IO::Socket::UNIX->new(Local => "\0tenant-door", Listen => 1); sleep 1000' &
perl -e 'use IPC::SysV qw(IPC_CREAT); my $id = shmget(0x7e57, 4096, IPC_CREAT | 0666); shmwrite($id, $ENV{SECRET}, 0, 64); sleep 1000' &
bash -c "exec -a tenant-of-$SECRET sleep 1000" &
sleep 0.2
echo up
wait
