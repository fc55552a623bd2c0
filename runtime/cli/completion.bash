# Bash completion for lyrebird and lyrebird-system-*. Options and their choices come from the program itself.
_lyrebird_system() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} program=${COMP_WORDS[0]} words
	case $previous in
	-M | -machine | -cpu) words=$("$program" "$previous" help 2>/dev/null | awk 'NR > 1 && NF {print $1}') ;;
	-accel) words=$("$program" -accel help 2>/dev/null | tail -n +2) ;;
	-device) words=$("$program" -device help 2>/dev/null | sed -n 's/^name "\([^"]*\)".*/\1/p') ;;
	-d) words=$("$program" -d help 2>/dev/null | awk 'NR > 1 {print $1}') ;;
	-chardev) words=$("$program" -chardev help 2>/dev/null | awk 'NR > 1 {print $1}') ;;
	-netdev | -nic) words='user' ;;
	-serial | -monitor) words='stdio mon:stdio pty file: null tcp: unix: chardev: none' ;;
	-gdb) words='tcp::1234 unix: stdio pty chardev: none' ;;
	-display | -vga | -parallel | -net) words='none' ;;
	-bios) words='default none' ;;
	esac
	if [ -n "$words" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
	elif [[ $current == -* ]]; then
		words=$("$program" -h 2>/dev/null | sed -n 's/^\(-[^ ]*\).*/\1/p')
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
	fi
}

_lyrebird() {
	local current=${COMP_WORDS[COMP_CWORD]}
	local program=${COMP_WORDS[0]} previous=${COMP_WORDS[COMP_CWORD - 1]} words
	if [ "$COMP_CWORD" -eq 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "$("$program" help 2>/dev/null | sed -n 's/^  \([a-z]*\) .*/\1/p')" -- "$current")
		return
	fi
	case ${COMP_WORDS[1]} in
	system) [ "$COMP_CWORD" -ne 2 ] || words=$("$program" guests 2>/dev/null | awk '{print $1}') ;;
	binfmt)
		if [ "$COMP_CWORD" -eq 2 ]; then
			words='register unregister status'
		elif [[ $current == -* ]]; then
			words='--setuid --interpreter'
		else
			words=riscv64
		fi
		;;
	dis | ir | bench)
		case $previous in
		--cpu) words=$("$program" system riscv64 -cpu help 2>/dev/null | awk 'NR > 1 && NF {print $1}') ;;
		--guest) words=$("$program" guests 2>/dev/null | awk '{print $1}') ;;
		--stage) words='in_asm op op_opt out_asm' ;;
		*) [[ $current != -* ]] || words=$("$program" "${COMP_WORDS[1]}" --help 2>/dev/null | sed -n 's/^  \(--[^ ]*\).*/\1/p') ;;
		esac
		;;
	esac
	if [ -n "$words" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
	fi
}

complete -o filenames -F _lyrebird lyrebird
complete -o filenames -F _lyrebird_system lyrebird-system-riscv64 lyrebird-system-riscv32
