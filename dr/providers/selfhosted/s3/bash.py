"""Functions in ``bash`` that people's commands are made of: a whole bucket listed, both sides compared, objects kept and brought over.

Each command stands alone, so it carries those that it needs. They take regions as arguments, call ``s3 REGION /KEY OPTIONS``, one signed
request, and know ``$name`` (the component), ``$ours`` (the control prefix) and ``$tmp``. Measured with curl 7.88 and SeaweedFS 4.48: curl
signs path and query as they stand in the URL, so the query must be in order, and of a key all but ``A-Za-z0-9-._~/`` encoded. Listings
encode some of that only (SeaweedFS neither ``:`` nor ``=`` nor ``&``; AWS a blank as ``+``), so what they say is made equal first.
"""

from __future__ import annotations

LIST = r"""# list REGION: key (as in a URL), ETag, bytes and time of every object, page after page to the end
list() { local page rows last=
  while page=$(s3 "$1" "?encoding-type=url&list-type=2${last:+&start-after=$last}"); do
    case $page in *'<EncodingType>url<'*) ;; *) echo "$1: this store does not encode keys" >&2; return 1;; esac
    rows=$(printf %s "$page" | awk -v RS='<' -F '>' '
      function plain(t) { gsub(/&#34;|&quot;/, "\"", t); gsub(/&#39;|&apos;/, "\047", t)
        gsub(/&gt;/, ">", t); gsub(/&lt;/, "<", t); gsub(/&amp;/, "\\&", t); return t }
      function url(t,  i, c, made) { gsub(/\+/, "%20", t); gsub(/%2F/, "/", t); gsub(/%7E/, "~", t)
        for (i = 1; i <= length(t); i++) { c = substr(t, i, 1); made = made (c ~ /[A-Za-z0-9%\/._~-]/ ? c : code[c]) }
        return made }
      BEGIN { for (i = 1; i < 256; i++) code[sprintf("%c", i)] = sprintf("%%%02X", i) }
      $1 == "Contents" { etag = "none" }
      $1 == "Key" { key = url(plain($2)) }
      $1 == "ETag" { etag = plain($2); gsub(/"/, "", etag) }
      $1 == "Size" { size = $2 }
      $1 == "LastModified" { at = $2 }
      $1 == "/Contents" { print key, etag, size, at }') || return
    [ -z "$rows" ] || printf '%s\n' "$rows"
    case $page in *'<IsTruncated>true<'*) ;; *) return 0;; esac
    last=${rows##*$'\n'}; last=${last%% *}; last=${last//\//%2F}
    [ -n "$last" ] || return 1
  done; return 1; }"""

LOOK = r"""# look REGION OTHER: what is not equal on both sides by bytes and ETag (of uploads in parts by bytes), but our own objects;
# each line: only-REGION, differs or (a person said so) take-REGION; key; ETag, bytes, time in REGION; the same in OTHER
look() { local side; for side in "$1" "$2"; do list "$side" | sort -u > "$name-$side.now" || return; done
  join -a 1 -a 2 -e - -o 0,1.2,1.3,1.4,2.2,2.3,2.4 "$name-$1.now" "$name-$2.now" |
  awk -v one="$1" -v other="$2" -v ours="$ours" -v said="$name.decided" '
    BEGIN { while ((getline line < said) > 0) { split(line, word, " "); counts[word[1]] = word[2] } }
    index($1, ours) == 1 || counts[$1] == "leave" { next }
    $2 == "-" { print "only-" other, $0; next }
    $5 == "-" { print "only-" one, $0; next }
    $3 == $6 && ($2 == $5 || ($2 $5) ~ /-/) { next }
    { print (counts[$1] == one || counts[$1] == other ? "take-" counts[$1] : "differs"), $0 }'; }"""

KEEP = r"""# keep REGION KEY ETAG: this version in a file here, the headers beside it; which is which stands in the index
kept() { echo "$name-kept/$1-$(printf '%s %s' "$2" "$3" | sha256sum | cut -c 1-32)"; }
keep() { local file; file=$(kept "$@"); [ -e "$file" ] || {
  s3 "$1" "/$2" -H "If-Match: \"$3\"" -D "$file.headers" -o "$file.partial" &&
  echo "$file $*" >> "$name-kept/index" && mv "$file.partial" "$file"; }; }"""

BRING = r"""# bring REGION OTHER KEY [ETAG]: the object of REGION into OTHER, where that has none, or still the one with this ETag
bring() { local code; s3 "$1" "/$3" -D "$tmp/head" -o "$tmp/body" || return
  { grep -iE '^(content-(type|encoding|disposition)|cache-control|x-amz-meta-[^:]*):' "$tmp/head" | tr -d '\r'
    echo 'x-amz-content-sha256: UNSIGNED-PAYLOAD'
    if [ -n "$4" ]; then echo "If-Match: \"$4\""; else echo 'If-None-Match: *'; fi; } > "$tmp/headers"
  code=$(s3 "$2" "/$3" -T "$tmp/body" -H @"$tmp/headers" -o /dev/null -w '%{http_code}') ||
    { [ "$code" = 412 ] && echo "$3: $2 has another one by now, which is left alone" >&2; }; }"""

ARRIVED = r"""# arrived REGION OTHER: the newest heartbeat of REGION is in OTHER, and it was sent in the last 15 minutes
arrived() { local sent; for _ in $(seq 30); do
    sent=$(s3 "$2" "/${ours}heartbeat/$1" | jq -r .at) && [[ $sent > $(date -u -d '15 minutes ago' +%FT%T) ]] &&
      [ "$sent" = "$(s3 "$1" "/${ours}heartbeat/$1" | jq -r .at)" ] && return
    sleep 1
  done; echo "no heartbeat of $1 has arrived in $2 lately: does the replication run?" >&2; return 1; }"""
