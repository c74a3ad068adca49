#!/usr/bin/env bash
# The libraries that are linked into OddJob's programs and of which Debian has no archive, or none that is fit
# for it: built once from Debian's own source packages, with Debian's security patches and compiler options.
#
# Each shared library costs a command of `oddjob` some of the few milliseconds that it lasts, and the server
# memory. Debian's libcurl alone brings thirty more (LDAP, Kerberos, SSH, RTMP, ...); ours does HTTP, HTTPS by
# OpenSSL and HTTP/2. Our libarchive does tar, gzip and zstd.
#
#   script/lib/libraries.sh                builds what is missing, or older than what the machine has installed
#   script/lib/libraries.sh --where curl   prints the folder of that one; nothing if there is none
#
# They are kept in ${XDG_CACHE_HOME:-~/.cache}/oddjob/libraries. The sources come by apt from the machine's own
# package sources, checked by their signatures, without any change to the machine's configuration. Where they
# cannot be had, OddJob is built with the machine's shared libraries (ODDJOB_LIBRARIES in CONTRIBUTING.md), so
# this exits with 0 then too.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Source package, the package whose headers OddJob is compiled with, the archive, its target in the source.
LIBRARIES='
curl           libcurl4-openssl-dev libcurl.a                libcurl
fmtlib         libfmt-dev           libfmt.a                 fmt
libarchive     libarchive-dev       libarchive.a             archive_static
prometheus-cpp prometheus-cpp-dev   libprometheus-cpp-core.a core
spdlog         libspdlog-dev        libspdlog.a              spdlog
'
cache=${XDG_CACHE_HOME:-$HOME/.cache}/oddjob/libraries

# Only what OddJob asks of each; with Debian's places of CA certificates.
options_of() {
  case $1 in
    curl) echo -DHTTP_ONLY=ON -DCURL_USE_OPENSSL=ON -DUSE_NGHTTP2=ON -DENABLE_THREADED_RESOLVER=ON \
      -DCURL_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt -DCURL_CA_PATH=/etc/ssl/certs \
      -DBUILD_CURL_EXE=OFF -DBUILD_TESTING=OFF -DENABLE_MANUAL=OFF -DCURL_ZLIB=OFF \
      -DUSE_LIBIDN2=OFF -DCURL_USE_LIBPSL=OFF -DCURL_USE_LIBSSH2=OFF -DCURL_USE_OPENLDAP=OFF ;;
    fmtlib) echo -DFMT_DOC=OFF -DFMT_TEST=OFF ;;
    libarchive) echo -DENABLE_OPENSSL=OFF -DENABLE_NETTLE=OFF -DENABLE_LIBB2=OFF -DENABLE_LZ4=OFF -DENABLE_LZMA=OFF \
      -DENABLE_ZLIB=ON -DENABLE_ZSTD=ON -DENABLE_BZip2=OFF -DENABLE_LIBXML2=OFF -DENABLE_EXPAT=OFF \
      -DENABLE_PCREPOSIX=OFF -DENABLE_TAR=OFF -DENABLE_CPIO=OFF -DENABLE_CAT=OFF -DENABLE_TEST=OFF \
      -DENABLE_XATTR=OFF -DENABLE_ACL=OFF -DENABLE_ICONV=OFF ;;
    spdlog) echo -DSPDLOG_FMT_EXTERNAL=ON -DSPDLOG_BUILD_SHARED=OFF -DSPDLOG_BUILD_EXAMPLE=OFF -DSPDLOG_BUILD_TESTS=OFF ;;
    prometheus-cpp) echo -DENABLE_PULL=OFF -DENABLE_PUSH=OFF -DENABLE_COMPRESSION=OFF -DENABLE_TESTING=OFF \
      -DUSE_THIRDPARTY_LIBRARIES=OFF ;;
  esac
}

installed() { dpkg-query -W -f '${source:Version}' "$1" 2> /dev/null || true; }

# newest SOURCE PACKAGE ARCHIVE: the folder of the newest that is not older than what the machine has: an
# upgrade of the machine's packages is what brings Debian's next security fix here too.
newest() {
  local found='' wanted
  wanted=$(installed "$2")
  for folder in "$cache/$1"/*-"$recipe"; do
    [[ -f $folder/$3 ]] || continue
    local version
    version=$(sed -n 's/^Version: //p' "$folder/package")
    [[ -z $wanted ]] || dpkg --compare-versions "$version" ge "$wanted" || continue
    [[ -z $found ]] || dpkg --compare-versions "$version" gt "${found%%|*}" || continue
    found="$version|$folder"
  done
  [[ -z $found ]] || printf '%s\n' "${found#*|}"
}

missing() {
  while read -r source package archive target; do
    [[ -z $source || -n $(newest "$source" "$package" "$archive") ]] || printf '%s\n' "$source $package $archive $target"
  done <<< "$LIBRARIES"
}

without() { say "OddJob is built with this machine's shared libraries, and starts more slowly: $*"; exit 0; }

# apt_configuration FOLDER: the machine's package sources, asked for source packages; all state in FOLDER.
apt_configuration() {
  local folder=$1 list parts
  eval "$(apt-config shell list Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d)"
  mkdir -p "$folder/sources.d" "$folder/lists/partial" "$folder/archives/partial"
  for file in "$list" "${parts%/}"/*.list; do
    [[ -f $file ]] || continue
    sed -E -n '/[[:space:]]cdrom:/d; s/^[[:space:]]*deb([[:space:]])/deb-src\1/p' "$file" \
      > "$folder/sources.d/$(basename "$file")"
  done
  for file in "${parts%/}"/*.sources; do
    [[ -f $file ]] || continue
    sed -E 's/^Types[[:space:]]*:.*/Types: deb-src/I' "$file" > "$folder/sources.d/$(basename "$file")"
  done
  cat > "$folder/apt.conf" << END
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$folder/sources.d";
Dir::State::lists "$folder/lists";
Dir::Cache "$folder";
Acquire::Retries "1";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
APT::Sandbox::User "$(id -un)";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
END
}

# build SOURCE ARCHIVE FROM TO TARGET
build() {
  local flags launcher=()
  flags="$(cd "$3" && DEB_BUILD_MAINT_OPTIONS=hardening=+all dpkg-buildflags --get CFLAGS) $(dpkg-buildflags --get CPPFLAGS)"
  flags+=' -g0 -DNDEBUG'
  command -v ccache > /dev/null &&
    launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  export CCACHE_BASEDIR=$3 CCACHE_NOHASHDIR=true
  # shellcheck disable=SC2046  # options, without spaces in them
  cmake -S "$3" -B "$3/oddjob-build" -G Ninja "${launcher[@]}" "-DCMAKE_C_FLAGS=$flags" \
    "-DCMAKE_CXX_FLAGS=$flags" -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE= -DCMAKE_CXX_FLAGS_RELEASE= \
    -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DBUILD_SHARED_LIBS=OFF $(options_of "$1") &&
    cmake --build "$3/oddjob-build" --target "$5" || return 1
  if [[ $1 == curl ]]; then
    grep -q '^#define USE_NGHTTP2 1' "$3/oddjob-build/lib/curl_config.h" &&
      grep -q '^#define USE_THREADS_POSIX 1' "$3/oddjob-build/lib/curl_config.h" || return 1
  fi
  mkdir -p "$4" && find "$3/oddjob-build" -name "$2" -exec cp {} "$4" \; && [[ -f $4/$2 ]]
}

# A library that was built in another way is built anew.
recipe=$(printf '%s' "$LIBRARIES" "$(declare -f options_of build)" | sha256sum | cut -c1-8)

# obtain FOLDER SOURCE PACKAGE ARCHIVE TARGET: says why not, where it cannot.
obtain() {
  local folder=$1 source=$2 archive=$4 version wanted
  if ! (cd "$folder" && timeout 300 apt-get -qq -c apt.conf source --download-only "$source") > "$folder/log" 2>&1; then
    say "There is no source of $source in this machine's package sources: $(grep -m1 '^E:' "$folder/log" || tail -n 1 "$folder/log")"
    return 0
  fi
  version=$(sed -n 's/^Version: //p' "$folder/$source"_*.dsc | head -n 1)
  wanted=$(installed "$3")
  if [[ -n $wanted ]] && dpkg --compare-versions "$version" lt "$wanted"; then
    say "The source of $source that can be had ($version) is older than $3 here ($wanted)"
    return 0
  fi
  if ! { dpkg-source -x "$folder/$source"_*.dsc "$folder/$source" &&
    build "$source" "$archive" "$folder/$source" "$folder/built/$source" "$5"; } > "$folder/log" 2>&1; then
    cp "$folder/log" "$cache/$source.log"
    say "Building $source $version failed: see $cache/$source.log"
    return 0
  fi
  # What the image's list of software says of it.
  printf 'Package: %s\nVersion: %s\n' "$source" "$version" > "$folder/built/$source/package"
  sed -n 's/^\(Homepage\|Maintainer\): /&/p' "$folder/$source"_*.dsc >> "$folder/built/$source/package"
  cp "$folder/$source/debian/copyright" "$folder/built/$source/copyright"
  mkdir -p "$cache/$source"
  mv "$folder/built/$source" "$cache/$source/${version//:/_}-$recipe"
  say "Built $source $version"
}

if [[ ${1:-} == --where ]]; then
  while read -r source package archive _; do
    [[ $source != "${2:?--where needs the name of a source package}" ]] || newest "$source" "$package" "$archive"
  done <<< "$LIBRARIES"
  exit 0
fi
[[ $# == 0 ]] || die "unknown option '$1'"
[[ -n $(missing) ]] || exit 0
command -v apt-get > /dev/null && command -v dpkg-source > /dev/null || without "there is no apt-get or no dpkg-source here"
mkdir -p "$cache" || without "$cache cannot be made"
# One build at a time; the others wait for it and find its result.
exec 9> "$cache/.lock"
flock 9
todo=$(missing)
[[ -n $todo ]] || exit 0

work=$(mktemp -d "$cache/.building-XXXXXX")
trap 'rm -rf "$work"' EXIT
apt_configuration "$work"
say "Building libraries from Debian's source, once: $(cut -d ' ' -f 1 <<< "$todo" | paste -sd ' ')"
if ! timeout 300 apt-get -qq -c "$work/apt.conf" update > "$work/log" 2>&1; then
  without "its package sources cannot be reached ($(grep -m1 '^E:' "$work/log" || tail -n 1 "$work/log"))"
fi
while read -r source package archive target; do
  obtain "$work" "$source" "$package" "$archive" "$target" < /dev/null
done <<< "$todo"
[[ -z $(missing) ]] || without "what is missing is named above"
