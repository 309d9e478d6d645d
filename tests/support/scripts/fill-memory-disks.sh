# Writes into every file system that lives in memory until it is full, and says how many MiB went into each.
for at in / /dev /dev/shm /tmp /var/tmp /run; do
  mkdir "$at/fill" 2> /dev/null
  for n in {1..30}; do head -c 20M /dev/zero > "$at/fill/$n" || break; done 2> /dev/null
  echo "$at $(du -sm "$at/fill" 2> /dev/null | cut -f1)"
  rm -rf "$at/fill"
done
