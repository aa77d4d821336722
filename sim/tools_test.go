package sim_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Every outside client does its everyday work against the gateway. Run by `make test-tools`, which installs them.
func TestTools(t *testing.T) {
	if os.Getenv("STRATOS_TOOLS") == "" {
		t.Skip("run by make test-tools")
	}
	k := newAccessKey(t, "--bypass-locks")
	r := random(t)
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	for i := range 40 {
		write(t, filepath.Join(tree, fmt.Sprint("d", i%3), fmt.Sprint("file ", i)), content(r, r.IntN(200_000)))
	}
	write(t, filepath.Join(tree, "ü ö+%&.txt"), []byte("x"))
	write(t, filepath.Join(tree, "large"), content(r, 20<<20))
	host := strings.TrimPrefix(k.Endpoint, "http://")
	write(t, filepath.Join(dir, "rclone.conf"), fmt.Appendf(nil, "[m]\ntype = s3\nprovider = Other\naccess_key_id = %s\nsecret_access_key = %s\nendpoint = %s\nregion = us-east-1\nforce_path_style = true\n", k.ID, k.Secret, k.Endpoint))
	testdata, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	var goEnv []string // which go would look for under HOME
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPROXY", "GOSUMDB"} {
		v, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		goEnv = append(goEnv, name+"="+strings.TrimSpace(string(v)))
	}
	// One command a line: in a chain of && only the last one would end the script.
	for _, c := range []struct{ name, needs, script string }{
		{"aws", "awscli", `
			s3="/usr/bin/aws --endpoint-url $AWS_ENDPOINT_URL"
			$s3 s3 mb s3://tool-aws
			$s3 s3 sync --no-progress tree s3://tool-aws/t
			$s3 s3 sync --no-progress s3://tool-aws/t aws-back
			diff -r tree aws-back
			$s3 s3 mv --no-progress s3://tool-aws/t/large s3://tool-aws/moved
			$s3 s3 cp --no-progress s3://tool-aws/moved - | cmp - tree/large
			$s3 s3api get-object --bucket tool-aws --key moved --range bytes=0-9 head > /dev/null
			test $(stat -c %s head) = 10
			$s3 s3 presign s3://tool-aws/moved | xargs curl -sf | cmp - tree/large
			echo '{"Rules": [{"ID": "r", "Filter": {"Prefix": "t/"}, "Status": "Enabled", "Expiration": {"Days": 3}}]}' > rules.json
			$s3 s3api put-bucket-lifecycle-configuration --bucket tool-aws --lifecycle-configuration file://rules.json
			$s3 s3api get-bucket-lifecycle-configuration --bucket tool-aws > rules-back.json
			/usr/bin/python3 -c 'import json; a, b = json.load(open("rules.json")), json.load(open("rules-back.json")); assert a == b, b'
			$s3 s3api delete-bucket-lifecycle --bucket tool-aws
			$s3 s3 rm --recursive --quiet s3://tool-aws
			$s3 s3 rb s3://tool-aws`},
		{"rclone", "rclone", `
			r="rclone --config $PWD/rclone.conf -q"
			$r sync tree m:tool-rclone/t
			$r check --download tree m:tool-rclone/t
			echo changed > tree/d0/new
			rm "tree/d1/file 1"
			$r sync tree m:tool-rclone/t
			$r check --download tree m:tool-rclone/t
			$r copyto m:tool-rclone/t/large m:tool-rclone/copy
			$r cat m:tool-rclone/copy | cmp - tree/large
			$r sync m:tool-rclone/t rclone-back
			diff -r tree rclone-back
			$r purge m:tool-rclone`},
		{"restic", "restic", `
			export RESTIC_PASSWORD=x RESTIC_REPOSITORY=s3:$AWS_ENDPOINT_URL/tool-restic
			restic -q init
			restic -q backup tree
			restic -q check --read-data
			echo more > tree/d0/more
			restic -q backup tree
			restic -q restore latest --target restic-back
			diff -r tree restic-back/tree
			restic -q forget --keep-last 1 --prune
			restic -q check --read-data`},
		{"s3cmd", "s3cmd", `
			s="s3cmd --access_key=$AWS_ACCESS_KEY_ID --secret_key=$AWS_SECRET_ACCESS_KEY --host=$HOST --host-bucket=$HOST --no-ssl -q"
			$s mb s3://tool-s3cmd
			$s sync tree/ s3://tool-s3cmd/t/
			mkdir s3cmd-back
			$s sync s3://tool-s3cmd/t/ s3cmd-back/
			diff -r tree s3cmd-back
			$s ls s3://tool-s3cmd/t/ > /dev/null
			$s du s3://tool-s3cmd > /dev/null
			$s info s3://tool-s3cmd/t/large > /dev/null
			$s del --recursive --force s3://tool-s3cmd
			$s rb s3://tool-s3cmd`},
		{"boto3", "python3-boto3", `/usr/bin/python3 $TESTDATA/boto.py`},
		{"aws-sdk-js", "npm", `
			cp $TESTDATA/sdk.mjs .
			npm i --no-audit --no-fund --loglevel=error @aws-sdk/client-s3@3 @aws-sdk/lib-storage@3 > /dev/null
			node sdk.mjs`},
		{"minio-go", "go", `
			cd $TESTDATA/minio
			go run .`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.Contains(c.script, "&&") {
				t.Fatal("a chain of && hides failures")
			}
			cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", c.script)
			cmd.Dir = dir
			cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin:" + os.Getenv("PATH"), "HOME=" + dir, "LANG=C.UTF-8", "TESTDATA=" + testdata, "HOST=" + host,
				"AWS_ACCESS_KEY_ID=" + k.ID, "AWS_SECRET_ACCESS_KEY=" + k.Secret, "AWS_ENDPOINT_URL=" + k.Endpoint, "AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true"}
			cmd.Env = append(cmd.Env, goEnv...)
			for _, name := range []string{"SSL_CERT_FILE", "npm_config_registry", "NPM_CONFIG_REGISTRY", "NODE_EXTRA_CA_CERTS", "npm_config_cafile"} {
				if v := os.Getenv(name); v != "" {
					cmd.Env = append(cmd.Env, name+"="+v)
				}
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v (it needs %s)\n%s", err, c.needs, bytes.TrimSpace(out[max(0, len(out)-3000):]))
			}
		})
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
