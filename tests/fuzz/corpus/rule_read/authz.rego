1# METADATA
# title: Who may call the shop's HTTP API
# description: |
#   Asked by the gateway for every request, after it has checked who calls:
#
#     {"user": "bob", "method": "GET", "path": "/orders/7", "mfa": false}
#
#   A request without a user is an anonymous visitor. Roles, what they permit,
#   and who has them is data: see roles/data.json.
package api.authz

default allow := false

allow if {
	count(granted) > 0
	count(denied) == 0
}

# What a gateway that explains its answers asks for.
decision := {"allow": allow, "granted": granted, "denied": denied}

granted contains "public" if public

granted contains "own record" if {
	input.method in {"GET", "PUT"}
	own_record
}

granted contains sprintf("role %s", [role]) if {
	some role in roles
	some permission in data.roles.permissions[role]
	input.method in permission.methods
	glob.match(permission.path, ["/"], input.path)
}

denied contains "the account is suspended" if input.user in data.roles.suspended

denied contains "deleting needs a second factor" if {
	input.method == "DELETE"
	not input.mfa
}

# The gateway normalises paths; if one arrives that is not, something is wrong.
denied contains "the path is not in its plain form" if not plain_path

# METADATA
# description: The roles of the caller; none for strangers.
roles contains role if some role in data.roles.bindings[input.user]

public if {
	input.method == "GET"
	input.path in {"/healthz", "/products"}
}

public if {
	input.method == "GET"
	glob.match("/products/*", ["/"], input.path)
}

own_record if input.path == sprintf("/customers/%s", [input.user])

own_record if input.path == sprintf("/customers/%s/orders", [input.user])

plain_path if {
	startswith(input.path, "/")
	not contains(input.path, "//")
	not contains(input.path, "%")
	not dotted
}

dotted if {
	some segment in split(input.path, "/")
	segment in {".", ".."}
}
