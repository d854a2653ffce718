// Verifies certificates as Go's crypto/x509 does. Reads lines "name leaf above root usage host" (files in PEM, "-" for
// none) from standard input, and writes a line "name ok" or "name why" for each.
package main

import (
	"bufio"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
)

var usages = map[string]x509.ExtKeyUsage{
	"any":    x509.ExtKeyUsageAny,
	"client": x509.ExtKeyUsageClientAuth,
	"server": x509.ExtKeyUsageServerAuth,
}

func load(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, fmt.Errorf("%s is not one certificate in PEM", path)
	}
	return x509.ParseCertificate(block.Bytes)
}

func verify(leaf, above, root, usage, host string) error {
	certificate, err := load(leaf)
	if err != nil {
		return err
	}
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{usages[usage]},
	}
	if host != "-" {
		options.DNSName = host
	}
	for _, pool := range []struct {
		path string
		to   *x509.CertPool
	}{{above, options.Intermediates}, {root, options.Roots}} {
		if pool.path == "-" {
			continue
		}
		issuer, err := load(pool.path)
		if err != nil {
			return err
		}
		pool.to.AddCert(issuer)
	}
	_, err = certificate.Verify(options)
	return err
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		f := strings.Split(lines.Text(), "\t")
		if err := verify(f[1], f[2], f[3], f[4], f[5]); err != nil {
			fmt.Printf("%s\t%s\n", f[0], strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Printf("%s\tok\n", f[0])
		}
	}
}
