# A container that is a command: {"text": "some words"} on stdin, {"words": 2} on stdout.

{ document = document $0 " " }

END {
  if (!match(document, /"text"[ \t]*:[ \t]*"([^"\\]|\\.)*"/)) {
    print "there is no \"text\" in the input" > "/dev/stderr"
    exit 1
  }
  text = substr(document, RSTART, RLENGTH)
  sub(/^"text"[ \t]*:[ \t]*"/, "", text)
  sub(/"$/, "", text)
  gsub(/\\\\/, "x", text) # an escaped backslash is part of a word
  gsub(/\\[nrtfb]/, " ", text)
  print "{\"words\":" split(text, words, " ") "}"
}
