package ontap

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Filer: {
		{"ontap address is not set", "`BERTH_ONTAP` is empty", "set it"},
		{"ontap address is not a host, host:port or https URL", "the address has another form", "`BERTH_ONTAP=svm1-mgmt.example.edu`"},
		{"ontap address is more than a host, host:port or https URL", "a path or query in it", "take it away"},
		{"ontap address must be https, not …", "`http:`", "`https:`, or only the host"},
		{"ontap address must not hold a user or password", "`user:password@`", "`BERTH_ONTAP_USER`, `BERTH_ONTAP_PASSWORD_FILE`"},
		{"ontap user must be set and have no colon", "`BERTH_ONTAP_USER`", "set it"},
		{"ontap password file is not set", "`BERTH_ONTAP_PASSWORD_FILE`", "set it: a path below `/etc/berth`"},
		{"ontap password file: …", "the file cannot be read", "the plugin sees only `/etc/berth`: put the file there, mode 0600"},
		{"ontap password file is empty", "the file has no password", "write the password into it"},
		{"ontap password file holds more than one line", "more than the password", "one line"},
		{"ontap client certificate and password exclude each other", "`BERTH_ONTAP_CERT` and `BERTH_ONTAP_USER` or `BERTH_ONTAP_PASSWORD_FILE` are set", "remove those of one kind"},
		{"ontap client certificate and key belong together", "one of `BERTH_ONTAP_CERT` and `BERTH_ONTAP_KEY` is set", "set both"},
		{"ontap client certificate: …", "the file of `BERTH_ONTAP_CERT` cannot be read", "the plugin sees only `/etc/berth`: put the file there"},
		{"ontap client key: …", "the file of `BERTH_ONTAP_KEY` cannot be read", "the plugin sees only `/etc/berth`: put the file there, mode 0600"},
		{"ontap client certificate … and key …: …", "they are no PEM, are encrypted, or do not belong together", "`openssl x509 -in CERT -pubkey -noout` and `openssl pkey -in KEY -pubout` print the same for a pair"},
		{"password refused", "the filer refused the user's password: wrong, expired, or the user may not use `http`", "write the right one into the file; berth tries no password twice, so that the account is not locked. After a change on the filer alone (`security login unlock`, `security login create -application http`) add or take away the line break at the file's end"},
		{"…: it was refused, and now: …", "the refused password's file is empty, gone or unreadable", "write the right password into it"},
		{"ontap: a CA file and insecure exclude each other", "both are set", "remove `BERTH_ONTAP_INSECURE`"},
		{"read ontap CA file: …", "the file cannot be read", "put it below `/etc/berth`"},
		{"ontap CA file … has no PEM certificate", "another format", "`openssl x509 -inform der -in FILE -out /etc/berth/filer.pem`"},
		{"this release or this role does not show it", "an old release, or a role without the line", "`berth ontap status` says what to grant or to type"},
		{"not asked, since the export is not known", "the call for the volume failed", "the line below it says why"},
		{"ontap: …: answer is truncated: …", "the connection broke", "try again"},
		{"ontap: …: answer is larger than 16 MiB", "no ONTAP there, or a defect", "what answers there? `curl -k https://ADDRESS/api/cluster`"},
		{"ontap: …: answer is not what ONTAP documents: …", "something else answers: a proxy, a login page", "what answers there? `curl -k https://ADDRESS/api/cluster`"},
		{"ontap: …: answer says … records and has …", "something else answers: a proxy, a login page", "what answers there? `curl -k https://ADDRESS/api/cluster`"},
		{"ontap: …: pages go in circles", "something else answers: a proxy, a login page", "what answers there? `curl -k https://ADDRESS/api/cluster`"},
		{"ontap: …: too many pages", "something else answers: a proxy, a login page", "what answers there? `curl -k https://ADDRESS/api/cluster`"},
		{"ontap: …: next link leads to another place", "something else answers: a proxy, a login page", "what answers there? `curl -k https://ADDRESS/api/cluster`"},
		{"ontap: …: next link has a broken query", "something else answers: a proxy, a login page", "what answers there? `curl -k https://ADDRESS/api/cluster`"},
		{"ontap: …: accepted without naming a job", "the filer may have done it", "look: `berth snapshot ls NAME`"},
		{"ontap: …: the filer says success, and the snapshot is not there", "multi-admin verification: other administrators have to approve the change", "on the filer: `security multi-admin-verify request show`; then look: `berth snapshot ls`"},
		{"ontap: …: the filer says success, and the snapshot is still there", "multi-admin verification: other administrators have to approve the change", "on the filer: `security multi-admin-verify request show`; then look: `berth snapshot ls`"},
		{"ontap: …: the filer says success, and the snapshot cannot be looked at: …", "multi-admin verification: other administrators have to approve the change", "on the filer: `security multi-admin-verify request show`; then look: `berth snapshot ls`"},
		{"ontap: …: job has state …", "the filer may have done it", "on the filer: `job show`"},
		{"ontap: …: job is gone from the cluster", "the filer may have done it (a fail-over)", "look: `berth snapshot ls NAME`; try again"},
		{"ontap: …: job cannot be asked: …", "the filer did not answer for a long time; it may have done it", "look: `berth snapshot ls NAME`; try again"},
		{"ontap: …: job is still …; berth has stopped waiting for it", "the job takes long", "look later: `berth snapshot ls NAME`"},
		{"ontap: …: encode request: …", "a defect of berth", "report it"},
	},
}
