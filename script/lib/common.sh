# Shared by the scripts in this folder. Sourced, never run.
# shellcheck shell=bash
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export ROOT
export CCACHE_DIR=${CCACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ccache}

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  BOLD=$'\e[1m' DIM=$'\e[2m' RESET=$'\e[0m'
else
  BOLD='' DIM='' RESET=''
fi
STARTED=$SECONDS

# What is being done now, with the time since the start.
say() { printf '%s==>%s %s %s[%dm%02ds]%s\n' "$BOLD" "$RESET" "$*" "$DIM" $(((SECONDS - STARTED) / 60)) $(((SECONDS - STARTED) % 60)) "$RESET"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# build_preset PRESET [TARGET...]: configures if needed and builds.
build_preset() {
  local preset=$1; shift
  say "Configuring build/$preset"
  cmake --preset "$preset" -S "$ROOT" > "$ROOT/build/$preset.configure.log" 2>&1 ||
    { cat "$ROOT/build/$preset.configure.log" >&2; die "CMake could not configure the preset '$preset'"; }
  say "Building build/$preset (ccache and mold are used where they are installed)"
  NINJA_STATUS='    [%f/%t %es] ' cmake --build "$ROOT/build/$preset" -- "$@"
}
