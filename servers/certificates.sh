#!/usr/bin/env bash
# Makes, once, a throw-away certificate authority and what it signed, for tests only:
# ca.crt; server.{key,crt,pem} for 127.0.0.1 and localhost; client.{key,crt,pem}; other-ca.crt, which signed nothing.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

make() {
  local folder=$1
  need openssl "openssl"
  cd "$folder"
  authority ca
  authority other-ca
  certificate server "subjectAltName=IP:127.0.0.1,DNS:localhost" serverAuth
  certificate client "subjectAltName=DNS:client" clientAuth
  chmod a+r ./*.key
}
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null; }
authority() {
  key "$1"
  openssl req -x509 -new -key "$1.key" -days 3650 -subj "/CN=headrace test $1" -out "$1.crt" \
    -addext keyUsage=critical,keyCertSign,cRLSign
}
certificate() { # certificate NAME ALTERNATIVE_NAME USAGE
  key "$1"
  openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -out "$1.crt" 2>/dev/null \
    -extfile <(printf 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n%s\nextendedKeyUsage=%s\n' "$2" "$3")
  cat "$1.key" "$1.crt" ca.crt >"$1.pem"
}

once "$state/certificates" make "$state/certificates"
echo "$state/certificates"
