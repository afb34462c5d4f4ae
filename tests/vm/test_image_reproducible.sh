#!/bin/bash
# Two builds of the shipped image from the same package versions are the same bytes, whatever the caller's
# umask, time zone, language and folder are; and a build that is killed takes all of its processes along.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$PWD/vm-images/build.sh
recipe=$PWD/vm-images/bookworm-postfix-dovecot
packages=${MAILRIG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mailrig}/packages
work=$(mktemp -d "${TMPDIR:-/tmp}/mailrig-image.XXXXXX") || exit 1
trap '"$build" --clean "$work" >/dev/null 2>&1; rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0

pass() { passed=$((passed + 1)); }
fail() {
	failed=$((failed + 1))
	echo "failed: $*"
}

# $1: folder of the result. What the tools say goes to <folder>.log.
build_to() {
	mkdir -p "$1" && "$build" "$recipe" "$1" "$packages" >"$1.log" 2>&1
}

same_bytes_every_time() {
	local file
	if ! build_to "$work/first"; then
		if grep -qE 'cannot (fetch|download)|Could not resolve|Failed to fetch' "$work/first.log"; then
			skipped=$((skipped + 1))
			echo "SKIP: same_bytes_every_time: no network, and the packages are not in the cache"
		else
			fail "the image cannot be built: $(tail -n 3 "$work/first.log")"
		fi
		return
	fi
	(
		umask 077
		export TZ=Asia/Tokyo LC_ALL=C HOME=/nonexistent
		cd / && build_to "$work/elsewhere/second"
	) || fail "the second build failed: $(tail -n 3 "$work/elsewhere/second.log")"
	for file in vmlinuz initrd root.img manifest.tsv; do
		if cmp "$work/first/$file" "$work/elsewhere/second/$file"; then
			pass
		else
			fail "$file differs"
		fi
	done
	if e2fsck -fn "$work/first/root.img" >"$work/fsck" 2>&1; then
		pass
	else
		fail "root.img: $(cat "$work/fsck")"
	fi
}

# Processes of the build, found by the name of its folder.
alive() {
	pgrep -f "$work/killed" >/dev/null
}

a_killed_build_takes_its_processes_along() {
	local pid tries=0
	mkdir "$work/killed"
	mkfifo "$work/progress"
	"$build" "$recipe" "$work/killed" "$packages" >"$work/progress" 2>"$work/killed.log" &
	pid=$!
	# Wait until mmdebstrap runs: step 4.
	grep -q -m 1 '^step 4/' <"$work/progress" || {
		skipped=$((skipped + 1))
		echo "SKIP: a_killed_build: it did not get so far: $(tail -n 1 "$work/killed.log")"
		wait "$pid"
		return
	}
	kill -9 "$pid"
	wait "$pid" 2>/dev/null
	while alive && [ $((tries += 1)) -le 50 ]; do sleep 0.1; done
	if alive; then
		fail "still running: $(pgrep -af "$work/killed")"
	else
		pass
	fi
	if grep -q "$work/killed" /proc/mounts; then fail "mounts are left"; else pass; fi
	"$build" --clean "$work/killed"
	if [ -e "$work/killed" ]; then fail "'$work/killed' cannot be removed"; else pass; fi
}

PATH=$PATH:/usr/sbin:/sbin
a_killed_build_takes_its_processes_along
same_bytes_every_time
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
