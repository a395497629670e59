# Tab completion of densely in bash: densely itself answers what the word under the cursor can become.
_densely() {
    local program=${1/#\~/$HOME} line=${COMP_LINE:0:COMP_POINT} words=() last=-1 i current offer offers value
    # bash also splits words at = and :, where no blank follows
    for ((i = 0; i < COMP_CWORD; i++)); do
        if [[ $i == 0 || $line == [[:blank:]]* ]]; then words[++last]=; fi
        line=${line#"${line%%[![:blank:]]*}"}
        words[last]+=${COMP_WORDS[i]}
        line=${line#"${COMP_WORDS[i]}"}
    done
    if [[ $line == [[:blank:]]* ]]; then words[++last]=; fi
    line=${line#"${line%%[![:blank:]]*}"}
    words[last]+=$line
    # quotes come back with what is inserted
    words[last]=${words[last]//[\\\"\']/}
    # bash replaces only what follows the last = or :
    current=${2//[\\\"\']/}
    offers=$("$program" completions bash -- "${words[@]}" 2>/dev/null)
    COMPREPLY=()
    while IFS= read -r offer; do
        if [[ -z $offer ]]; then continue; fi
        value=${offer%%$'\t'*}
        # of a path, bash quotes what is special, and puts the slash after a directory
        if [[ $offer != *$'\t'* ]] && compopt -o filenames 2>/dev/null; then value=${value%/}; fi
        COMPREPLY+=("${value#"${words[last]%"$current"}"}")
    done <<<"$offers"
}
complete -o nosort -F _densely densely 2>/dev/null || complete -F _densely densely
