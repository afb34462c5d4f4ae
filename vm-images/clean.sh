#!/bin/sh
# Runs on the finished tree ($1) of every image: what installation made by chance or by the host goes.
set -eu
root=$1

rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/cache/debconf/*-old
rm -rf "$root"/var/lib/dpkg/*-old "$root"/var/cache/ldconfig/* "$root"/usr/share/doc "$root"/usr/share/man
rm -f "$root"/etc/passwd- "$root"/etc/group- "$root"/etc/shadow- "$root"/etc/gshadow-
rm -f "$root"/etc/subuid- "$root"/etc/subgid- "$root"/var/lib/systemd/random-seed
rm -f "$root"/var/lib/dbus/machine-id
: >"$root"/etc/machine-id
: >"$root"/etc/resolv.conf
echo store >"$root"/etc/hostname
find "$root"/var/log -type f -delete
