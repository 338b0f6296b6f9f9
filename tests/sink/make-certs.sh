#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# make-certs.sh DIR [NAME...]: a CA and the certificates that posthouse-sink shows, made
# on the spot: ca.pem, and NAME.pem + NAME.key for good, expired, self-signed,
# wrong-name (valid, but for another host) and wrong-use (for clients only).
# Their names are localhost, 127.0.0.1, ::1 and each NAME.

set -eu
dir=${1:?usage: make-certs.sh DIR [NAME...]}
shift
names=DNS:localhost,IP:127.0.0.1,IP:::1
for name; do
	names=$names,DNS:$name
done
mkdir -p "$dir"
cd "$dir"
OPENSSL=${OPENSSL:-openssl}

cat >openssl.cnf <<END
[req]
distinguished_name = dn
prompt = no
[dn]
O = posthouse test
[ca]
default_ca = sink
[sink]
new_certs_dir = .
database = index.txt
serial = serial
default_md = sha256
policy = any
unique_subject = no
copy_extensions = none
[any]
organizationName = optional
commonName = supplied
[v3_ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[here]
subjectAltName = $names
extendedKeyUsage = serverAuth
[elsewhere]
subjectAltName = DNS:elsewhere.example.net
extendedKeyUsage = serverAuth
[client]
subjectAltName = $names
extendedKeyUsage = clientAuth
END

quiet()
{
	"$@" >>openssl.log 2>&1 || { cat openssl.log >&2; exit 1; }
}

key()
{
	quiet "$OPENSSL" ecparam -name prime256v1 -genkey -noout -out "$1"
}

key ca.key
quiet "$OPENSSL" req -config openssl.cnf -new -x509 -key ca.key -days 30 -sha256 \
	-subj "/O=posthouse test/CN=posthouse test CA" -extensions v3_ca -out ca.pem
: >index.txt
echo 01 >serial

# signed NAME EXTENSIONS FROM TO
signed()
{
	key "$1.key"
	quiet "$OPENSSL" req -config openssl.cnf -new -key "$1.key" \
		-subj "/O=posthouse test/CN=$1" -out "$1.csr"
	quiet "$OPENSSL" ca -config openssl.cnf -batch -notext -in "$1.csr" -out "$1.pem" \
		-cert ca.pem -keyfile ca.key -extensions "$2" -startdate "$3" -enddate "$4"
}

far=$(($(date +%Y) + 1))0101000000Z
signed good here 20200101000000Z "$far"
signed expired here 20200101000000Z 20210101000000Z
signed wrong-name elsewhere 20200101000000Z "$far"
signed wrong-use client 20200101000000Z "$far"

key self-signed.key
quiet "$OPENSSL" req -config openssl.cnf -new -x509 -key self-signed.key -days 30 -sha256 \
	-subj "/O=posthouse test/CN=self-signed" -extensions here -out self-signed.pem
