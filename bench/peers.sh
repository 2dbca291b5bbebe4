#!/bin/sh
# Makes the system that the peers run in: Debian 13 in a folder, started by chroot on loopback.
# Needs root and debootstrap (apt-get install debootstrap). Half a minute, 260 MB.
set -eu
folder="${LATTICEWAY_PEERS:-/tmp/latticeway-peers}"
if [ -x "$folder/usr/sbin/mosquitto" ]; then
  echo "$folder is there already"
  exit 0
fi
exec debootstrap --variant=minbase \
  --include=openssl,mosquitto,mosquitto-clients,nginx-light,curl,zstd trixie "$folder"
