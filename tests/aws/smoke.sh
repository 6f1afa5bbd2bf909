#!/usr/bin/env bash
# Prove on a real AWS account what the lab cannot: every guard of the GPU host once, a prediction, a training of a few
# seconds on drawings, and that nothing is left. Usage: smoke.sh --account ID --region REGION --max-usd USD [--yes]
#
#   --account ID     the account that this may use: 12 digits, compared with the credentials
#   --region REGION  where to make the stack
#   --max-usd USD    what it may cost at list prices, 2 at most; it ends and tears down before that
#   --yes            do not ask
#
# Needs pneumoctl with the extra `aws` on PATH, terraform, and credentials. The GPU host is a g4dn.xlarge, the cheapest
# type that pneumoctl accepts (SMOKE_GPU_TYPE names another): it refuses types without a GPU, which is one of its guards,
# so no cheaper host can stand in for it. A new account has a quota of 0 vCPUs for it: `doctor` says so before anything
# is made. Results are in SMOKE_WORK (build/aws-smoke). However this ends, also by Ctrl-C, it tears the stack down. Run
# it again: it repeats only what was not proven.
# shellcheck disable=SC2329 # functions that are called by name
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
account="" region="" max_usd="" agreed=""
gpu_type=${SMOKE_GPU_TYPE:-g4dn.xlarge}
work=${SMOKE_WORK:-build/aws-smoke}

usage() { # print the first comment of this file, and why
  echo "smoke.sh: $1" >&2
  sed -n '2,/shellcheck/{/shellcheck/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
  exit 2
}

while test $# -gt 0; do
  case $1 in
    --account | --region | --max-usd)
      test $# -gt 1 || usage "$1 needs a value"
      case $1 in --account) account=$2 ;; --region) region=$2 ;; *) max_usd=$2 ;; esac
      shift 2
      ;;
    --yes) agreed=yes && shift ;;
    *) usage "unknown option $1" ;;
  esac
done
[[ $account =~ ^[0-9]{12}$ ]] || usage "--account names the account: 12 digits"
[[ $region =~ ^[a-z]{2}(-[a-z]+)+-[0-9]$ ]] || usage "--region names the region, as us-east-1"
[[ $max_usd =~ ^[0-9]+(\.[0-9]+)?$ ]] || usage "--max-usd names the most that this may cost, as 2"
calculate() { awk "BEGIN { print ($1) }"; }
test "$(calculate "$max_usd <= 2 && $max_usd > 0")" = 1 || usage "--max-usd: more than 0, and 2 at most"

mkdir -p "$work"
work=$(cd "$work" && pwd)
python=$(command -v python3)
ask_aws() { "$python" "$here/account.py" "$@"; }
export AWS_REGION=$region AWS_DEFAULT_REGION=$region PYTHONPATH="$here/../..${PYTHONPATH:+:$PYTHONPATH}"
export PNEUMO_STACK=smoke PNEUMO_TARGET=aws PNEUMO_REGION=$region PNEUMO_GPU_HOST=true PNEUMO_GPU_TYPE=$gpu_type
export PNEUMO_NGINX_TYPE=t3.micro PNEUMO_MONITORING_TYPE=t3.small PNEUMO_WEB_TYPE=t3.small PNEUMO_APP_TYPE=t3.small
cd "$work" # no pneumo.toml of another stack is read

# Lines "name<TAB>proven|failed|not tried<TAB>seconds<TAB>what was seen"; the last line of a name counts.
log=$work/checks.tsv
spent=$work/seconds # in which the stack existed, in earlier runs
touch "$log"
test -s "$spent" || echo 0 >"$spent"

# --- the plan and its price -------------------------------------------------------------------------------------------

HOURS=1.5 GPU_HOURS=1 # what a run takes on AWS: estimated
RESERVE_S=900         # for the teardown
train_flags=(--height 64 --width 64 --batch 9 --validation-share 0.25 --patience 1000 --grace 1000 --epochs 2)

before_begin() {
  local seen
  seen=$(ask_aws identity)
  test "$seen" = "$account" || usage "the credentials are those of account $seen, not $account"
  if test ! -e "$work/begun" && ! ask_aws left smoke >"$work/left.txt"; then
    if test ! -s "$work/left.txt"; then
      echo "what the account has of a stack smoke is not known: AWS could not be asked, see above" >&2
      exit 1
    fi
    echo "the account has a stack smoke, which this did not begin here: $(tr '\n' ' ' <"$work/left.txt")" >&2
    echo "  next: pneumoctl teardown --stack smoke, if nobody needs it" >&2
    exit 1
  fi
  gpu_usd=$(ask_aws price "$gpu_type" "$region")
  stack_usd=0.15 # hosts, disks, NAT gateway and addresses of the four hosts, and the GPU host's disk, at most
  if pneumoctl cost --json >"$work/planned.json"; then
    stack_usd=$(ask_aws field usd_per_hour <"$work/planned.json")
  fi
  limit_s=$(calculate "int($max_usd / ($stack_usd + $gpu_usd) * 3600) - $(cat "$spent")")
  estimate=$(calculate "$stack_usd * $HOURS + $gpu_usd * $GPU_HOURS")
  cat <<PLAN
account $account, region $region, stack smoke: four hosts (t3.micro, 3 t3.small) and a $gpu_type
  doctor; up, which leaves the GPU host stopped; a prediction                    about 20 minutes
  guard 5: a GPU without a lease is shown in red; gpu stop                       5
  guard 1: the schedule in the account stops the GPU (gpu guard --drill)         5
  guard 2: the timer on the host stops an idle GPU (gpu guard --drill)           15
  guard 3: train --gpu --detach on drawings: the unit on the host stops it       20
  guard 4: train --gpu, interrupted: the client stops it                         5
  results export; cost; teardown; what AWS lists under the stack's tag           15
about USD $estimate at list prices ($stack_usd an hour, $gpu_usd more while the GPU is on; without taxes and traffic)
it ends, and tears down, after $limit_s s at most: USD $max_usd if the GPU were on all the time
PLAN
  test "$(calculate "$estimate <= $max_usd")" = 1 || usage "the estimate, USD $estimate, is above --max-usd $max_usd"
  test "$(calculate "$limit_s > 2 * $RESERVE_S")" = 1 || usage "earlier runs have used up --max-usd: delete $spent"
  if test -z "$agreed"; then
    read -rp "Begin? [y/N] " agreed
    test "$agreed" = y || exit 1
  fi
}

# --- checks -----------------------------------------------------------------------------------------------------------

seconds_left() { echo $((limit_s - RESERVE_S - SECONDS)); }

# Run a command, interrupted when the money runs out. --foreground: so that Ctrl-C reaches it.
limited() {
  local left
  left=$(seconds_left)
  test "$left" -gt 0 || { echo "the cap is reached" >&2 && return 9; }
  timeout --foreground --signal=INT --kill-after=300 "$left" "$@"
}

record() { printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" >>"$log"; }
result_of() { awk -F '\t' -v name="$1" '$1 == name { last = $2 } END { print last }' "$log"; }

failed=0

# check NAME FUNCTION: run the function unless it was proven. It prints what it saw to its last line. Never call this in
# a condition: bash would ignore that a command in the function failed, and the check would count as proven.
check() {
  local name=$1 began=$SECONDS code seen
  if test "$(result_of "$name")" = proven; then
    echo "== $name: proven before"
    return
  fi
  echo "== $name"
  set +e
  (set -e; "$2") >"$work/check.out"
  code=$?
  set -e
  seen=$(tail -n 1 "$work/check.out" | tr '\t' ' ')
  if test "$code" = 0; then
    record "$name" proven $((SECONDS - began)) "$seen"
  else
    failed=1
    record "$name" failed $((SECONDS - began)) "exit $code $seen"
    gpu_off || true
  fi
  echo "   $(result_of "$name"): $seen"
  test "$code" -lt 128 || exit "$code" # interrupted
}

require() { test "$(result_of "$1")" = proven || exit "$2"; }

gpu_off() { # whatever happened: the GPU is off before the next check
  test "$(ask_aws state smoke)" = stopped || pneumoctl gpu stop || ask_aws stop smoke
}

doctor() {
  limited pneumoctl doctor >&2
  echo "every check is passed"
}

bring_up() {
  touch "$work/begun"
  limited pneumoctl up -y >&2
  test "$(ask_aws state smoke)" = stopped
  echo "up ended with 0; EC2: the GPU host is stopped"
}

prediction() {
  "$python" -P -m model.phantom drawing.png --seed 22 --opacity >&2
  limited pneumoctl predict --remote --json drawing.png >prediction.json
  echo "a drawing was scored through nginx"
}

push_data() {
  ask_aws drawings "$work/drawings"
  limited pneumoctl data push "$work/drawings" >&2
  echo "the drawings are in the bucket"
}

red_line() {
  local code=0
  ask_aws start smoke >&2
  limited pneumoctl status >status.txt 2>status.err || code=$?
  cat status.err >&2
  test "$code" = 7
  grep -q "gpu stop" status.err
  limited pneumoctl gpu stop >&2
  test "$(ask_aws state smoke)" = stopped
  echo "status: exit 7 and a red line; gpu stop: EC2 says stopped"
}

drill() {
  limited pneumoctl gpu guard --drill "$1" -y --json >"drill-$1.json"
  test "$(ask_aws state smoke)" = stopped
  echo "off after $(ask_aws field seconds <"drill-$1.json") s, by $(ask_aws field guard <"drill-$1.json"); EC2 says stopped"
}
schedule() { drill schedule; }
idle() { drill idle; }

unit() { # nobody follows the run: the host alone ends it
  limited pneumoctl train --gpu --detach --max-cost 0.5 --max-runtime 40m -- "${train_flags[@]}" >&2
  ask_aws wait smoke stopped "$(seconds_left)" >&2
  limited pneumoctl train --gpu --resume --json >trained.json
  test "$(ask_aws field receipt.guard <trained.json) $(ask_aws field receipt.why <trained.json)" = "unit done"
  echo "the run's model is here; $(ask_aws field receipt.billed_s <trained.json) billed s; stopped by the unit"
}

client() {
  local code=0
  limited "$python" "$here/account.py" interrupt smoke pneumoctl train --gpu --max-cost 0.5 --max-runtime 40m -- \
    "${train_flags[@]}" >&2 || code=$?
  test "$code" = 130
  test "$(ask_aws state smoke)" = stopped
  pneumoctl runs show --json >interrupted.json
  test "$(ask_aws field receipt.guard <interrupted.json)" = client
  echo "exit 130; EC2 says stopped; stopped by the client"
}

export_results() {
  local path
  path=$work/results-$(date +%s).tar
  limited pneumoctl results export "$path" >&2
  test -s "$path"
  echo "$path"
}

# --- the end ----------------------------------------------------------------------------------------------------------

finish() {
  local code=$? attempt began=$SECONDS
  trap '' INT TERM HUP # nothing interrupts the teardown
  trap - EXIT
  set +e
  test -e "$work/begun" || exit "$code"
  gpu_off
  pneumoctl cost --json >"$work/cost.json"
  for attempt in 1 2 3; do
    pneumoctl teardown -y --end-training >&2
    if ask_aws left smoke >"$work/left.txt"; then
      rm -f "$work/begun"
      break
    fi
    test -s "$work/left.txt" || echo "not known: AWS could not be asked" >"$work/left.txt"
    echo "teardown, attempt $attempt: left: $(tr '\n' ' ' <"$work/left.txt")" >&2
  done
  if test -e "$work/begun"; then
    record teardown failed $((SECONDS - began)) "left: $(tr '\n' ' ' <"$work/left.txt")"
  else
    record teardown proven $((SECONDS - began)) "AWS lists nothing with the tag or the name of the stack"
  fi
  calculate "$(cat "$spent") + $SECONDS" >"$work/total" && mv "$work/total" "$spent"
  receipt | tee "$work/receipt.txt"
  test ! -e "$work/begun" || code=7
  exit "$code"
}

names=(doctor "up, GPU stopped (0)" prediction "data push" "red line (guard 5)" "schedule (guard 1)"
  "host timer (guard 2)" "unit (guard 3)" "client (guard 4)" "results export" teardown)

receipt() {
  local name result
  echo "RECEIPT  $(date -u +%FT%TZ)  account $account  $region  pneumoctl $(pneumoctl --version | awk '{print $NF}')"
  for name in "${names[@]}"; do
    result=$(result_of "$name")
    printf '%-9s  %-22s %5s s  %s\n' "${result:-not tried}" "$name" \
      "$(awk -F '\t' -v name="$name" '$1 == name { last = $3 } END { print last }' "$log")" \
      "$(awk -F '\t' -v name="$name" '$1 == name { last = $4 } END { print last }' "$log")"
  done
  echo "duration   $SECONDS s, $(cat "$spent") s with earlier runs"
  echo "cost       USD $(ask_aws field usd_so_far <"$work/cost.json") by pneumoctl cost, before the teardown"
  echo "           USD $(calculate "$stack_usd * $SECONDS / 3600") for the stack at list prices ($stack_usd an hour)," \
    "USD $(calculate "$gpu_usd * $SECONDS / 3600") more at most for the GPU"
  test ! -e "$work/begun" || echo "STILL THERE, and it may cost money: pneumoctl teardown --stack smoke; $(cat "$work/left.txt")"
}

main() {
  before_begin
  trap finish EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exec >"$work/hangup.log" 2>&1 </dev/null; exit 129' HUP # the terminal is gone
  for name in doctor "up, GPU stopped (0)" "data push"; do # the last run tore the stack down
    record "$name" "not tried" 0 ""
  done
  check doctor doctor
  require doctor 4
  check "up, GPU stopped (0)" bring_up
  require "up, GPU stopped (0)" 1
  check prediction prediction
  check "data push" push_data
  check "red line (guard 5)" red_line
  check "schedule (guard 1)" schedule
  check "client (guard 4)" client
  check "unit (guard 3)" unit
  check "host timer (guard 2)" idle
  check "results export" export_results
  exit "$failed"
}

main
