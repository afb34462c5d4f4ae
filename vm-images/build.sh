#!/bin/bash
# Builds one image: vmlinuz, initrd, root.img and manifest.tsv from a recipe, byte for byte the same from
# the same package versions.
#
#	build.sh [--update] RECIPE_DIR OUT_DIR CACHE_DIR
#	build.sh --clean DIR
#
# OUT_DIR is emptied first; the caller gives the result its name. CACHE_DIR keeps package lists and
# packages between builds; --update fetches the lists even if those of the last day are there. --clean
# removes what a killed build left, also files of subordinate ids.
#
# Progress goes to standard output as lines "step K/N what"; what the tools say goes to standard error.
# Works as root and as an ordinary user with subordinate ids (/etc/subuid): the work is done as root of a
# namespace, which also takes every process and mount along when it ends.
set -euo pipefail
export LC_ALL=C.UTF-8 TZ=UTC DEBIAN_FRONTEND=noninteractive
# Any fixed instant does; nothing in the image is younger.
export SOURCE_DATE_EPOCH=1735689600
export E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH
UUID=6d61696c-7269-4700-8000-000000000001
STEPS=7
LISTS_FRESH_MIN=1440

here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:/usr/sbin:/sbin

die() {
	echo "$*" >&2
	exit 1
}

step() {
	echo "step $1/$STEPS $2"
}

has_ids() {
	grep -qE "^($(id -un)|$(id -u)):" "$1" 2>/dev/null
}

# The whole build runs in its own mount, PID and UTS namespace. --kill-child: if this process is killed,
# nothing of the build lives on, and its mounts are gone with it.
enter_namespace() {
	local own=(unshare --mount --pid --fork --kill-child --mount-proc --uts)

	if [ "$(id -u)" != 0 ]; then
		own+=(--user --map-root-user --map-auto)
		if ! has_ids /etc/subuid || ! has_ids /etc/subgid; then
			die "user '$(id -un)' has no subordinate ids; as root: usermod" \
				"--add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)"
		fi
	fi
	RIG_BUILD_INSIDE=1 exec "${own[@]}" -- "$BASH" "$0" "$@"
}

read_recipe() {
	suite=$(sed -n 's/^suite=//p' "$recipe/recipe")
	size=$(sed -n 's/^size=//p' "$recipe/recipe")
	if [ -z "$suite" ] || [ -z "$size" ]; then
		die "'$recipe/recipe' lacks suite= or size="
	fi
	packages=$(sed 's/#.*//' "$recipe/packages" | xargs | tr ' ' ,)
}

# ---- packages: an apt of our own, fed with the host's own Debian archive lines -------------------------

# One "deb" line for each Debian archive of the suite that the host's apt knows.
sources() {
	local keys=/usr/share/keyrings/debian-archive-keyring.gpg

	[ -r $keys ] || keys=
	# shellcheck disable=SC2016 # apt expands these
	apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI) $(COMPONENT)' \
		"Created-By: Packages" |
		awk -v suite="$suite" -v keys="$keys" '$1 == "Debian" && $4 == "main" &&
			($2 == suite || $2 == suite "-updates" || $2 == suite "-security") {
			printf "deb %s%s %s %s\n", keys ? "[signed-by=" keys "] " : "", $3, $2, $4
		}' | sort -u
}

set_up_apt() {
	mkdir -p "$cache"/{lists,archives}/partial "$work"/apt
	sources >"$work/sources.list"
	grep -q " $suite main$" "$work/sources.list" ||
		die "apt of this host knows no Debian '$suite'; add its lines to the apt sources" \
			"and run apt-get update"
	{
		apt-config dump | grep -E '^Acquire::(http|https|ftp|Retries|Check-)' || true
		cat <<-END
			Dir::Etc::sourcelist "$work/sources.list";
			Dir::Etc::sourceparts "-";
			Dir::State "$work/apt";
			Dir::State::lists "$cache/lists";
			Dir::State::status "/dev/null";
			Dir::Cache "$work/apt";
			Dir::Cache::archives "$cache/archives";
			APT::Sandbox::User "root";
			Acquire::Languages "none";
		END
	} >"$work/apt.conf"
}

own_apt() {
	APT_CONFIG=$work/apt.conf apt-get -q "$@"
}

# Lists of today are good enough; without a network any lists are.
update_lists() {
	local stamp=$cache/lists.of

	if [ -z "$update" ] && cmp -s "$stamp" "$work/sources.list" &&
		[ -n "$(find "$stamp" -mmin -$LISTS_FRESH_MIN)" ]; then
		return
	fi
	if own_apt update -o APT::Update::Error-Mode=any >&2; then
		cp "$work/sources.list" "$stamp"
		own_apt autoclean >&2 # packages that newer ones replaced
	elif ! cmp -s "$stamp" "$work/sources.list"; then
		die "cannot fetch the package lists of Debian '$suite'"
	fi
}

# The newest .deb of a package, through the cache; prints its path.
deb_of() {
	local file

	# In an empty folder: apt says nothing of a file that is there already.
	file=$(cd "$work/apt" && own_apt download --print-uris "$1" | awk '{ print $2 }')
	[ -n "$file" ] || die "Debian '$suite' has no package '$1'"
	[ -e "$cache/archives/$file" ] ||
		(cd "$cache/archives" && own_apt download "$1" >&2) ||
		die "cannot download package '$1'"
	echo "$cache/archives/$file"
}

# ---- kernel and initrd -------------------------------------------------------------------------------

get_kernel() {
	local meta deb

	meta=$(deb_of linux-image-cloud-amd64)
	kernel_package=$(dpkg-deb -f "$meta" Depends | grep -oE 'linux-image-[^ ,]*-cloud-amd64')
	deb=$(deb_of "$kernel_package")
	kernel_version=$(dpkg-deb -f "$deb" Version)
	dpkg-deb -x "$deb" "$work/kernel"
	cp "$work/kernel/boot/vmlinuz-${kernel_package#linux-image-}" "$out/vmlinuz"
	deb=$(deb_of busybox-static)
	busybox_version=$(dpkg-deb -f "$deb" Version)
	dpkg-deb -x "$deb" "$work/busybox"
}

# Paths of the wanted modules and of all they need, in loading order, without repetition.
module_order() {
	awk -v wanted="$(sed 's/#.*//' "$here/initrd/modules" | xargs)" '
		function base(path) {
			sub(/.*\//, "", path); sub(/\.ko$/, "", path); gsub(/-/, "_", path)
			return path
		}
		{
			path = $1; sub(/:$/, "", path); of[base(path)] = path
			needs[path] = ""
			for (i = NF; i > 1; i--) needs[path] = needs[path] " " $i
		}
		function add(path,    list, n, i) {
			if (path in seen) return
			seen[path] = 1
			n = split(needs[path], list, " ")
			for (i = 1; i <= n; i++) add(list[i])
			print path
		}
		END {
			n = split(wanted, names, " ")
			for (k = 1; k <= n; k++) if (base(names[k]) in of) add(of[base(names[k])])
		}' "$1"
}

make_initrd() {
	local version=${kernel_package#linux-image-}
	local modules=$work/kernel/lib/modules/$version
	local tree=$work/initrd path

	mkdir -p "$tree"/{bin,dev,proc,sys,root,lib/modules}
	cp "$work/busybox/bin/busybox" "$tree/bin/busybox"
	cp "$here/initrd/init" "$tree/init"
	chmod 755 "$tree/init" "$tree/bin/busybox"
	"$work/busybox/bin/busybox" depmod -b "$work/kernel" "$version"
	module_order "$modules/modules.dep" | while read -r path; do
		cp "$modules/$path" "$tree/lib/modules/"
		basename "$path"
	done >"$tree/lib/modules/order"
	find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	(cd "$tree" && find . -mindepth 1 | sort |
		cpio --quiet --reproducible -o -H newc -R 0:0) | gzip -n -6 >"$out/initrd"
	truncate -s %512 "$out/initrd" # the kernel looks for the next archive at a multiple of 4
}

# ---- root file system --------------------------------------------------------------------------------

make_root() {
	local hooks=/usr/share/mmdebstrap/hooks/merged-usr
	local archives=$cache/archives lists=$cache/lists

	export lists archives recipe
	# shellcheck disable=SC2016 # the hooks' shell expands $1 and the rest
	mmdebstrap --quiet --mode=root --variant=essential --format=tar \
		--aptopt="$work/apt-acquire.conf" --aptopt='Acquire::Languages "none"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/lintian/*' \
		--hook-dir="$hooks" --include="$packages" \
		--skip=update --skip=download/empty --skip=essential/unlink \
		--setup-hook='mkdir -p "$1"/var/lib/apt/lists "$1"/var/cache/apt/archives
			cp "$lists"/*_* "$1"/var/lib/apt/lists/
			find "$archives" -name "*.deb" -exec cp -t "$1"/var/cache/apt/archives {} +' \
		--essential-hook='[ ! -e "$recipe"/debconf ] ||
			grep -v "^#" "$recipe"/debconf | chroot "$1" debconf-set-selections' \
		--customize-hook='find "$1"/var/cache/apt/archives -name "*.deb" \
			-exec cp -u --preserve=timestamps -t "$archives" {} +' \
		"$suite" "$work/root.tar" "$work/sources.list" >&2
}

# mke2fs copies access and change times from the unpacked tree, which no tool can set: give every inode in
# use the one instant, by number.
set_times() {
	local image=$1

	dumpe2fs "$image" 2>/dev/null | awk -v now="@$SOURCE_DATE_EPOCH" '
		/^Inode count:/ { count = $3 }
		/^First inode:/ { first = $3 }
		/^  Free inodes: / {
			n = split(substr($0, 16), ranges, ", *")
			for (i = 1; i <= n; i++) {
				split(ranges[i], r, "-")
				for (k = r[1]; k <= (r[2] ? r[2] : r[1]); k++) free[k + 0] = 1
			}
		}
		END {
			for (k = 2; k <= count; k++) {
				if (k in free || (k > 2 && k < first)) continue
				printf "sif <%d> atime %s\nsif <%d> ctime %s\nsif <%d> crtime %s\n",
					k, now, k, now, k, now
				printf "sif <%d> atime_extra 0\nsif <%d> ctime_extra 0\n", k, k
				printf "sif <%d> crtime_extra 0\n", k
			}
		}' >"$work/times"
	debugfs -w -f "$work/times" "$image" >/dev/null 2>"$work/debugfs.err"
	grep -v '^debugfs 1' "$work/debugfs.err" >&2 && die "debugfs could not set the times"
	return 0
}

make_disk() {
	mkdir "$work/root"
	tar -x -p --numeric-owner -f "$work/root.tar" -C "$work/root" --exclude='./dev/*'
	rm "$work/root.tar"
	dpkg-query --admindir="$work/root/var/lib/dpkg" -W -f '${Package}\t${Version}\n' \
		>"$work/packages.tsv"
	"$here/clean.sh" "$work/root"
	[ ! -e "$recipe/customize" ] || "$recipe/customize" "$work/root"
	find "$work/root" -newermt "@$SOURCE_DATE_EPOCH" \
		-exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	MKE2FS_CONFIG=$here/mke2fs.conf mke2fs -q -t ext4 -L root -U $UUID \
		-E hash_seed=$UUID,root_owner=0:0 -J size=8 -m 0 -d "$work/root" \
		"$out/root.img" "$size" >&2
	set_times "$out/root.img"
}

make_manifest() {
	{
		printf '%s\t%s\n' "$kernel_package" "$kernel_version" busybox-static "$busybox_version"
		cat "$work/packages.tsv"
	} | sort >"$out/manifest.tsv"
}

[ -n "${RIG_BUILD_INSIDE:-}" ] || enter_namespace "$@"
if [ "${1:-}" = --clean ] && [ $# = 2 ]; then
	rm -rf "$2"
	exit
fi
update=
if [ "${1:-}" = --update ]; then
	update=yes
	shift
fi
[ $# = 3 ] || die "usage: build.sh [--update] RECIPE_DIR OUT_DIR CACHE_DIR, or --clean DIR"
recipe=$(cd "$1" && pwd) out=$(cd "$2" && pwd) cache=$(mkdir -p "$3" && cd "$3" && pwd)
work=$out/work
find "$out" -mindepth 1 -delete
mkdir "$work"
trap 'rm -rf "$work"' EXIT
export TMPDIR=$work
hostname store # packages write the host's name into their configuration
umask 022

read_recipe
step 1 "package lists"
set_up_apt
update_lists
step 2 "kernel"
get_kernel
step 3 "initrd"
make_initrd
step 4 "packages of the root file system"
grep '^Acquire' "$work/apt.conf" >"$work/apt-acquire.conf" || true
make_root
step 5 "root file system"
make_disk
step 6 "manifest"
make_manifest
step 7 "cleaning up"
