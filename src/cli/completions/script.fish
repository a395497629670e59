# Tab completion of densely in fish: densely itself answers what the word under the cursor can become.
function __densely_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct | string unescape)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    $program completions fish -- $words "$current" 2>/dev/null
end
complete -c densely -k -f -a '(__densely_complete)'
