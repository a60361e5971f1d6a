#!/usr/bin/env bash
# Installs from Debian (or Ubuntu) what the given jobs need and is missing:
#
#   scripts/deps.sh build    Go is there, git
#   scripts/deps.sh demo     … and fusermount3
#   scripts/deps.sh test     … and what unit, race and end-to-end tests need
#   scripts/deps.sh bench    … and what we compare with
#
# Does nothing, quickly, when everything is there. Go itself is not installed,
# only looked for.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/local/go/bin:/usr/local/sbin:/usr/sbin:/sbin"

# program:package pairs of each job; each job needs those before it.
build=(git:git make:make)
demo=(fusermount3:fuse3)
test=(nginx:nginx-light ip:iproute2 tc:iproute2 nsenter:util-linux mount:mount gcc:gcc
  python3:python3 setfattr:attr curl:curl tar:tar dd:coreutils ps:procps mksquashfs:squashfs-tools losetup:mount
  fio:fio stress-ng:stress-ng chromium:chromium mkfs.ext4:e2fsprogs systemd-analyze:systemd)
bench=(aria2c:aria2 rclone:rclone)

case "${1:-test}" in
build) need=("${build[@]}") ;;
demo) need=("${build[@]}" "${demo[@]}") ;;
test) need=("${build[@]}" "${demo[@]}" "${test[@]}") ;;
bench) need=("${build[@]}" "${demo[@]}" "${test[@]}" "${bench[@]}") ;;
*)
  echo "deps.sh: unknown job '$1'; want build, demo, test or bench" >&2
  exit 2
  ;;
esac

missing=()
for pair in "${need[@]}"; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
done
# Tests of the manager start a PostgreSQL of their own; Debian's isn't in PATH.
if [[ " ${need[*]} " == *" gcc:gcc "* ]] && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && ! command -v initdb >/dev/null; then
  missing+=(postgresql)
fi
# The race detector links with the C library.
if [[ " ${need[*]} " == *" gcc:gcc "* && ! -e /usr/include/stdlib.h ]]; then missing+=(libc6-dev); fi

if ((${#missing[@]})); then
  mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
  command -v apt-get >/dev/null || {
    echo "deps.sh: missing: ${missing[*]} (Debian package names); install them, since there is no apt-get here" >&2
    exit 1
  }
  sudo=()
  if ((EUID != 0)); then
    sudo -n true 2>/dev/null || {
      echo "deps.sh: missing packages; run: sudo apt-get install ${missing[*]}" >&2
      exit 1
    }
    sudo=(sudo -n)
  fi
  # Installing nginx or PostgreSQL must not start a server on this machine.
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    "${sudo[@]}" sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
    trap '"${sudo[@]}" rm -f "$policy"' EXIT
  fi
  echo "deps.sh: installing ${missing[*]}"
  "${sudo[@]}" apt-get update -q
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
fi

want=$(awk '$1 == "go" {print $2}' go.mod)
command -v go >/dev/null || {
  echo "deps.sh: Go is missing: install Go $want or newer" >&2
  exit 1
}
have=$(go env GOVERSION | sed 's/^go//; s/[^0-9.].*//')
if [[ $(printf '%s\n' "$want" "$have" | sort -V | head -n 1) != "$want" ]]; then
  echo "deps.sh: Go $have is too old: install Go $want or newer" >&2
  exit 1
fi
