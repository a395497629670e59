#compdef densely
# Tab completion of densely in zsh: densely itself answers what the word under the cursor can become.
_densely() {
    local typed=${(Q)PREFIX} line value flag head
    local -a lines described plain directories files
    lines=("${(@f)$(${~words[1]} completions zsh -- "${(@Q)words[1,CURRENT-1]}" "$typed" 2>/dev/null)}")
    # what precedes the value, and the directories before the last part of a path, stay as they were typed
    compset -P '--*='
    flag=${typed%"${(Q)PREFIX}"}
    head=${(MQ)PREFIX##*/}
    for line in $lines; do
        value=${${line%%$'\t'*}#"$flag$head"}
        case $line in
            *$'\t') plain+=("$value") ;;
            *$'\t'*) described+=("${${value//\\/\\\\}//:/\\:}:${line#*$'\t'}") ;;
            */) directories+=("${value%/}") ;;
            ?*) files+=("$value") ;;
        esac
    done
    (( $#described )) && _describe -V densely described
    (( $#plain )) && compadd -V words -- $plain
    (( $#files )) && compadd -V files -f -p "$head" -W "$head" -- $files
    (( $#directories )) && compadd -V directories -f -p "$head" -W "$head" -S / -q -- $directories
    (( $#described + $#plain + $#files + $#directories ))
}
# run by the completion system as the function of this name, or sourced
if [[ $funcstack[1] == _densely ]]; then _densely "$@"; else compdef _densely densely; fi
