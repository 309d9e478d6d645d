# A container that is a command: {"text": "some words"} on stdin, {"text": "SOME WORDS"} on stdout.
# What goes to stderr becomes log events of the job; an exit code other than 0 fails the link.

{ document = document $0 " " }

END {
  if (!match(document, /"text"[ \t]*:[ \t]*"/)) {
    print "there is no \"text\" in the input" > "/dev/stderr"
    exit 1
  }
  at = RSTART + RLENGTH
  for (;;) {
    character = substr(document, at++, 1)
    if (character == "\"" || character == "") break
    if (character == "\\") text = text character substr(document, at++, 1)
    else text = text toupper(character)
  }
  print "{\"text\":\"" text "\"}"
}
