# Runs PostgreSQL for the process at the other end of its input, which sends
# commands, one a line. When the input ends, for whatever reason, it ends the
# server and removes the folder.
dir=$1 maker=$2 primary=$3
shift 3
server=

end() { # end SIGNAL
    if [ -n "$server" ]; then
        kill "-$1" "$server"
        wait "$server"
        server=
    fi
}

while read -r command; do
    case $command in
    init) "$maker" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >>"$dir/log" 2>&1 || break ;;
    copy) "$maker" -D "$dir/data" -d "$primary" --write-recovery-conf --checkpoint=fast --no-sync >>"$dir/log" 2>&1 || break ;;
    start)
        "$@" >>"$dir/log" 2>&1 </dev/null &
        server=$!
        ;;
    stop) end INT ;;
    kill) end QUIT ;;
    esac
    echo "$command done"
done
end QUIT
cd /
rm -rf "$dir"
