# What `make` alone says: the targets named in `first`, in their order, then all others; folded to
# 80 columns. A target's help stands behind `## ` in the Makefile.
function show(name,    words, count, i, line) {
    line = sprintf("  make %-15s", name)
    count = split(help[name], words, " ")
    for (i = 1; i <= count; i++) {
        if (length(line) + 1 + length(words[i]) > 80) { print line; line = sprintf("%22s", "") }
        line = line " " words[i]
    }
    print line
}
BEGIN { FS = ":.*## " }
/^[a-z-]+:.*## / { help[$1] = $2; order[++targets] = $1 }
END {
    print "Framegate: zero trust for AI on the factory floor. Begin with:\n"
    count = split(first, begin, " ")
    for (i = 1; i <= count; i++) { show(begin[i]); shown[begin[i]] = 1 }
    print "\nThen docs/tutorial/first-hour.md; to contribute, CONTRIBUTING.md. All else:\n"
    for (i = 1; i <= targets; i++) if (!(order[i] in shown)) show(order[i])
}
