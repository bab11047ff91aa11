package infra.network_test

import data.infra.lib.plans_test as plans
import data.infra.network

ports := {"22": "SSH", "5432": "PostgreSQL"}

ingress(protocol, from, to, cidrs) := {
	"protocol": protocol,
	"from_port": from,
	"to_port": to,
	"cidr_blocks": cidrs,
	"ipv6_cidr_blocks": [],
}

group(rules) := plans.create("aws_security_group", "g", {"ingress": rules})

# What is wrong with a group with one such rule.
texts(rule) := found if {
	violations := network.deny with input as plans.plan([group([rule])])
		with data.infra.settings.guarded_ports as ports
	found := plans.texts(violations)
}

test_ssh_open_to_the_world if {
	texts(ingress("tcp", 22, 22, ["10.0.0.0/8", "0.0.0.0/0"])) == {"SSH (port 22) is open to 0.0.0.0/0"}
}

test_a_private_network_is_fine if {
	texts(ingress("tcp", 22, 22, ["10.0.0.0/8", "192.0.2.7/32"])) == set()
}

test_other_ports_are_fine if {
	texts(ingress("tcp", 443, 443, ["0.0.0.0/0"])) == set()
	texts(ingress("udp", 22, 22, ["0.0.0.0/0"])) == set()
}

test_ranges_include_their_ends if {
	groups := [group |
		some name, range in {"from": [22, 30], "to": [10, 22], "within": [0, 1024]}
		rule := ingress("tcp", range[0], range[1], ["0.0.0.0/0"])
		group := plans.create("aws_security_group", name, {"ingress": [rule]})
	]
	violations := network.deny with input as plans.plan(groups)
		with data.infra.settings.guarded_ports as ports
	{violation.resource | some violation in violations} == {
		"aws_security_group.from",
		"aws_security_group.to",
		"aws_security_group.within",
	}
	plans.texts(violations) == {"SSH (port 22) is open to 0.0.0.0/0"}
	texts(ingress("tcp", 23, 5431, ["0.0.0.0/0"])) == set()
}

test_all_traffic_is_every_port if {
	texts(ingress("-1", 0, 0, ["0.0.0.0/0"])) == {
		"SSH (port 22) is open to 0.0.0.0/0",
		"PostgreSQL (port 5432) is open to 0.0.0.0/0",
	}
}

test_half_the_world_is_too_much if {
	texts(ingress("tcp", 22, 22, ["0.0.0.0/1", "128.0.0.0/1"])) == {
		"SSH (port 22) is open to 0.0.0.0/1",
		"SSH (port 22) is open to 128.0.0.0/1",
	}
}

test_the_world_of_ipv6 if {
	rule := object.union(ingress("tcp", 5432, 5432, []), {"ipv6_cidr_blocks": ["::/0"]})
	texts(rule) == {"PostgreSQL (port 5432) is open to ::/0"}
}

separate_rule(type) := plans.create("aws_security_group_rule", "r", object.union(
	ingress("tcp", 22, 22, ["0.0.0.0/0"]),
	{"type": type},
))

test_separate_rules if {
	violations := network.deny with input as plans.plan([separate_rule("ingress")])
	plans.broken(violations) == {["aws_security_group_rule.r", "network.open"]}
	count(network.deny) == 0 with input as plans.plan([separate_rule("egress")])
}

vpc_rule(values) := plans.create("aws_vpc_security_group_ingress_rule", "r", values)

test_vpc_rules if {
	rule := vpc_rule({"ip_protocol": "tcp", "from_port": 3306, "to_port": 3306, "cidr_ipv4": "0.0.0.0/0", "cidr_ipv6": null})
	violations := network.deny with input as plans.plan([rule])
	plans.texts(violations) == {"MySQL (port 3306) is open to 0.0.0.0/0"}
}

test_vpc_rules_for_all_traffic_have_no_ports if {
	rule := vpc_rule({"ip_protocol": "-1", "cidr_ipv4": null, "cidr_ipv6": "::/0"})
	violations := network.deny with input as plans.plan([rule])
		with data.infra.settings.guarded_ports as ports
	count(violations) == 2
}
