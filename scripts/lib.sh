# shellcheck shell=bash
# What the scripts share: messages, paths, root, build folders, huge pages. Sourced, not run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Where a running lab and the state to restore live; a tmpfs on most machines, so that a reboot forgets them.
RUN_DIR=/run/shunt-lab

if [[ -t 1 ]]; then
  BOLD=$'\e[1m' PLAIN=$'\e[0m'
else
  BOLD='' PLAIN=''
fi

log() { printf '%s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
section() { printf '\n%s== %s%s\n' "$BOLD" "$*" "$PLAIN"; }

# Runs the calling script again as root where it isn't already: need_root "$@".
need_root() {
  [[ $EUID -eq 0 ]] && return
  command -v sudo >/dev/null || die "this needs root, and there is no sudo"
  exec sudo -- "$0" "$@"
}

# as_root COMMAND...: for the few commands of a script that need it, so that builds stay the user's own.
as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  else
    sudo -- "$@"
  fi
}

# The folder of a build type: release, asan, bench or cycles.
build_dir() {
  case $1 in
    release) echo "$ROOT/build" ;;
    asan | bench | cycles) echo "$ROOT/build-$1" ;;
    *) die "unknown build type '$1': release, asan, bench or cycles" ;;
  esac
}

# The cores shuntd is given by the scripts: the last one polls, the first one is everything else's.
worker_core() { echo $(($(nproc) - 1)); }

# wait_for SECONDS COMMAND...: polls until COMMAND succeeds; fails when time is up.
wait_for() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || return 1
    sleep 0.1
  done
}

# --- huge pages: 2 MiB each ---------------------------------------------------------------------------------------

HUGE_COUNT=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
HUGE_FREE=/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages

# hugepages_reserve PAGES OWNER: sees to it that as many are free, and that /dev/hugepages is mounted. What that took is noted under
# OWNER's name for hugepages_restore; an owner NAME-PID that is dead gets its restore here. Fails, and leaves all as it was, where the
# machine can't.
hugepages_reserve() {
  local pages=$1 owner=$2 free before added=0 mounted=0 made=0 stale
  for stale in "$RUN_DIR".hugepages.*-*; do
    [[ ! -e $stale || -d /proc/${stale##*-} ]] || hugepages_restore "${stale#"$RUN_DIR.hugepages."}"
  done
  [[ -w $HUGE_COUNT ]] || return 1
  # A second reservation by one owner stands on the first.
  hugepages_restore "$owner"
  if ! mountpoint -q /dev/hugepages; then
    [[ -d /dev/hugepages ]] || { mkdir /dev/hugepages && made=1; } || return 1
    mount -t hugetlbfs -o pagesize=2M hugetlbfs /dev/hugepages || return 1
    mounted=1
  fi
  free=$(<"$HUGE_FREE")
  before=$(<"$HUGE_COUNT")
  if ((free < pages)); then
    echo $((before + pages - free)) >"$HUGE_COUNT" 2>/dev/null || true
    added=$(($(<"$HUGE_COUNT") - before)) # the kernel gives what it can
  fi
  echo "$added $mounted $made" >"$RUN_DIR.hugepages.$owner"
  if (($(<"$HUGE_FREE") < pages)); then
    hugepages_restore "$owner"
    return 1
  fi
}

# hugepages_restore OWNER: gives back what hugepages_reserve took; nothing where it never ran.
hugepages_restore() {
  local state="$RUN_DIR.hugepages.$1" added mounted made count
  [[ -e $state ]] || return 0
  read -r added mounted made <"$state"
  rm -f "$state"
  count=$(<"$HUGE_COUNT")
  echo $((count > added ? count - added : 0)) >"$HUGE_COUNT" 2>/dev/null || true
  if ((mounted)); then umount /dev/hugepages 2>/dev/null || return 0; fi
  if ((made)); then rmdir /dev/hugepages 2>/dev/null; fi
  return 0
}
