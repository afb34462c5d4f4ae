# What the lint scripts share. Each is called as SCRIPT [ROOT] (default: the repository), prints one line
# for each offence and nothing when all is well, and exits with 1 or 0.
# shellcheck shell=bash
set -u
export LC_ALL=C

cd "${1:-$(dirname "${BASH_SOURCE[0]}")/../..}" || exit 2
offences=0

offence() {
	printf '%s\n' "$*"
	offences=$((offences + 1))
}

# One offence for each line of standard input.
offences_from() {
	local line
	while IFS= read -r line; do
		offence "$line"
	done
}

finish() {
	[ "$offences" -eq 0 ]
	exit
}

# The files of the repository that match the patterns given, without what was built.
sources() {
	local patterns=() pattern
	for pattern in "$@"; do
		patterns+=(-o -name "$pattern")
	done
	find . \( -path ./build -o -path ./.git -o -path './results/*' \) -prune -o -type f \
		\( "${patterns[@]:1}" \) -print | sed 's|^\./||' | sort
}
