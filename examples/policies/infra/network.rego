# METADATA
# title: The world does not reach SSH or databases
# description: |
#   Looks at security groups with ingress blocks and at both kinds of separate
#   rules. The ports are in settings/data.json.
package infra.network

import data.infra.lib.terraform

deny contains terraform.violation(resource, "network.open", text) if {
	some [resource, opening] in openings
	some cidr in opening.cidrs
	everyone(cidr)
	some port, service in data.infra.settings.guarded_ports
	covers(opening, to_number(port))
	text := sprintf("%s (port %s) is open to %s", [service, port, cidr])
}

# Everything that lets traffic in, in one shape.
openings contains [group, opening] if {
	some group in terraform.changed.aws_security_group
	some ingress in terraform.after(group, "ingress")
	opening := {
		"protocol": ingress.protocol,
		"from": ingress.from_port,
		"to": ingress.to_port,
		"cidrs": cidrs(ingress, ["cidr_blocks", "ipv6_cidr_blocks"]),
	}
}

openings contains [rule, opening] if {
	some rule in terraform.changed.aws_security_group_rule
	terraform.after(rule, "type") == "ingress"
	opening := {
		"protocol": terraform.after(rule, "protocol"),
		"from": terraform.after(rule, "from_port"),
		"to": terraform.after(rule, "to_port"),
		"cidrs": cidrs(rule.change.after, ["cidr_blocks", "ipv6_cidr_blocks"]),
	}
}

openings contains [rule, opening] if {
	some rule in terraform.changed.aws_vpc_security_group_ingress_rule
	opening := {
		"protocol": terraform.after(rule, "ip_protocol"),
		"from": object.get(rule.change.after, "from_port", null),
		"to": object.get(rule.change.after, "to_port", null),
		"cidrs": cidrs(rule.change.after, ["cidr_ipv4", "cidr_ipv6"]),
	}
}

cidrs(value, attributes) := {cidr |
	some attribute in attributes
	some cidr in terraform.as_array(value[attribute])
	cidr != null
}

# Half the world, twice, is the world too.
everyone(cidr) if to_number(split(cidr, "/")[1]) <= 1

covers(opening, _) if opening.protocol in {"-1", "all"}

covers(opening, port) if {
	opening.protocol in {"tcp", "6"}
	opening.from <= port
	port <= opening.to
}
