#!/bin/sh
# One scale run, here or in a guest that has nothing but a shell: see scale.py, which calls it.
#
# In the current folder: sluice, holder, far, plugins/ (headers.so), and for KIND=tls a.pem a.key
# b.pem b.key. Settings come as variables: KIND N A_HOLDER
# (connections of one client process) WORKERS HOLD PORT ADMIN FAR (ports of
# the upstream, the last one joins and leaves), STEPS (how many of the N are open when it is measured
# what a request costs beside them; N is the last), BESIDE (seconds of that), HERTZ (of
# /proc/PID/stat), OUT (a folder for what is found).
#
# found: lines of "name value"; memory: a line a sample; curve: a line a step; *.out: what the
# programs said.
set -u
here=127.0.0.1
# shellcheck disable=SC2153 # they come from scale.py
out=$OUT kind=$KIND n=$N a_holder=$A_HOLDER workers=$WORKERS hold=$HOLD port=$PORT admin=$ADMIN far=$FAR
# shellcheck disable=SC2153
steps=$STEPS beside=$BESIDE hertz=$HERTZ
rm -f "$out"/*
begun=$(date +%s)

: >"$out/curve"
on_one="" on_other=""
[ "$PIN" = 1 ] && on_one="taskset 1" on_other="taskset 2"
tell() { echo "$1 $2" >>"$out/found"; }
value() { awk -v name="$1" '$1 == name { sum += $2 } END { printf "%d", sum }' "$out"/"$2".*.out 2>/dev/null; }
admin_says() { ./holder http "$1" "$here" "$admin" "$2"; }

finish()
{
    for pid in ${load:-} ${held:-} ${gateway:-} ${upstream:-}; do kill "$pid" 2>/dev/null; done
    wait
}
trap finish EXIT
trap 'exit 1' INT TERM

# -- what is served ---------------------------------------------------------------------------

# Written beside and renamed, as one does.
members()
{
    for one in $1; do echo "- $here:$one"; done >members.new
    mv members.new members.yaml
}

certificate()
{
    cp "$1.key" live.key.new && mv live.key.new live.key
    cp "$1.pem" live.pem.new && mv live.pem.new live.pem
}

# Other content, the same plugin.
plugin()
{
    cp plugins/headers.so live/headers.new
    echo "$1" >>live/headers.new
    mv live/headers.new live/headers.so
}

lasting=${far% *}
members "$lasting"
mkdir -p live
plugin 0
tls=
if [ "$kind" = tls ]; then
    certificate a
    tls="tls: { certificates: [ { cert: live.pem, key: live.key } ], handshake_timeout: 10m }"
fi
cat >scale.yaml <<END
workers: $workers
admin: { bind: "$here:$admin" }
log: { format: json }
plugin_path: [ live ]
plugins:
  - headers: { response: { set: { x-scale: "1" } } }
limits: { connections: 1000000 }
listeners:
  - name: main
    bind: "$here:$port"
    backlog: 65535
    timeout: { idle: 10h, head: 10m }
    $tls
upstreams:
  app:
    file: { path: members.yaml, interval: 100ms }
    connections: { max: 1000000 }
    timeout: { tunnel: 10h, connect: 1m, response: 5m }
routes:
  - name: all
    upstream: app
END

# -- memory -------------------------------------------------------------------------------------

# Each of its maps is met while the gateway goes on, and a reading that had to give way misses some:
# the fullest of three.
rollup()
{
    for _ in 1 2 3; do
        awk '/^Pss:/ { pss = $2 } /^Pss_Anon:/ { own = $2 } END { print pss, own }' \
            "/proc/$gateway/smaps_rollup"
    done | sort -k 2n | tail -n 1
}

sample()
{
    echo "$(($(date +%s) - begun)) $1 $(rollup) $(awk '/^Slab:/ { print $2 }' /proc/meminfo)" >>"$out/memory"
}

# What a request costs the gateway beside $1 others, with nothing else going on: all its CPU time,
# user and system. Programs and caches are warm when it counts.
ticks() { sed 's/.*) //' "/proc/$gateway/stat" | awk '{ print $12 + $13 }'; }
load_now() { $on_other ./holder load "$load_kind" "$here" "$port" 128 "$2" >"$out/cost.$1.out" 2>"$out/cost.$1.err"; }
cost()
{
    [ "$beside" -gt 0 ] || return 0
    load_now "$1" "$beside"
    before=$(ticks)
    load_now "$1" "$beside"
    awk -v at="$1" -v ticks=$(($(ticks) - before)) -v hertz="$hertz" -v own="$(rollup | awk '{ print $2 }')" '
        $1 == "requests" { n = $2 }
        END { printf "%d %d %.1f\n", at, own, n ? ticks * 1000000 / hertz / n : 0 }' "$out/cost.$1.out" >>"$out/curve"
}

# -- the run ------------------------------------------------------------------------------------

# shellcheck disable=SC2086 # ports are words
$on_one ./far $far >"$out/far.out" 2>&1 &
upstream=$!
$on_one ./sluice run -c scale.yaml >"$out/sluice.out" 2>&1 &
gateway=$!
tries=0
until admin_says GET /readyz >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ $tries -gt 600 ] || ! kill -0 "$gateway" 2>/dev/null; then
        echo "run.sh: the gateway does not serve" >&2
        cat "$out/sluice.out" >&2
        exit 1
    fi
    sleep 0.1
done
load_kind=plain
[ "$kind" = tls ] && load_kind=tls
cost 0
sample empty

# Opens what is missing to $1, by processes of $a_holder connections at the most.
held="" i=0 opened=0
open_to()
{
    while [ $opened -lt "$1" ]; do
        more=$(($1 - opened))
        [ $more -gt "$a_holder" ] && more=$a_holder
        $on_other ./holder hold "$kind" "$here" "$port" "$more" $((i + 1)) >"$out/hold.$i.out" 2>"$out/hold.$i.err" &
        held="$held $!"
        i=$((i + 1)) opened=$((opened + more))
    done
    until [ "$(cat "$out"/hold.*.out | grep -c '^opened ')" -eq $i ]; do sleep 0.2; done
}
for step in $steps; do
    first=$i
    open_to "$step"
    [ "$step" -eq "$n" ] && sample opened
    cost "$step"
done
tell opened "$(value opened hold)"
# Those of the last step, which were opened at the same time.
tell opened_per_second "$(while [ "$first" -lt $i ]; do
    cat "$out/hold.$first.out"
    first=$((first + 1))
done | awk '$1 == "opened_per_second" { sum += $2 } END { printf "%d", sum }')"

$on_other ./holder load "$load_kind" "$here" "$port" 16 "$hold" >"$out/load.0.out" 2>"$out/load.0.err" &
load=$!
second=0 reloads=0 refused=0 certificates=0 plugins=0 changes=0
while kill -0 "$load" 2>/dev/null; do
    case $((second % 3)) in
    0) plugin $second; plugins=$((plugins + 1)) ;;
    1) members "$([ $((second % 2)) -eq 0 ] && echo "$far" || echo "$lasting")"; changes=$((changes + 1)) ;;
    2)
        if [ "$kind" = tls ]; then
            certificate "$([ $((second % 2)) -eq 0 ] && echo a || echo b)"
            certificates=$((certificates + 1))
        fi
        ;;
    esac
    if admin_says POST /reload >"$out/reload.out" 2>&1; then reloads=$((reloads + 1)); else refused=$((refused + 1)); fi
    [ $((second % 5)) -eq 4 ] && sample held
    second=$((second + 1))
    sleep 1
done
load=
sample held
tell reloads $reloads
tell reloads_refused $refused
tell plugins_replaced $plugins
tell members_changed $changes
tell certificates_replaced $certificates
tell requests "$(value requests load)"
tell requests_lost "$(value lost load)"
tell p50_us "$(value p50_us load)"
tell p99_us "$(value p99_us load)"
tell max_us "$(value max_us load)"

for pid in $held; do kill -USR1 "$pid"; done
until [ "$(cat "$out"/hold.*.out | grep -c '^lost ')" -eq $i ]; do sleep 0.2; done
sample asked
tell answered "$(value answered hold)"
tell lost "$(value lost hold)"
admin_says GET /metrics | grep -v '^#' >"$out/metrics"
admin_says GET /workers >"$out/workers"

for pid in $held; do kill "$pid"; done
held=
kill "$gateway"
tries=0
while kill -0 "$gateway" 2>/dev/null && [ $tries -lt 300 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
wait "$gateway"
tell exit_status $?
gateway=
tell errors "$(grep -cE '"level":"(error|fatal)"' "$out/sluice.out")"
tell seconds $(($(date +%s) - begun))
