# METADATA
# title: Reading a Terraform plan
# description: |
#   Input is what `terraform show -json plan.out` prints. A plan answers for
#   what it creates and changes; what it leaves alone or destroys is not looked
#   at.
package infra.lib.terraform

# METADATA
# description: |
#   The resources that the plan creates or changes, by type. A rule of its own,
#   so that the plan is gone through once, not once for every type asked for.
changed := by_type

by_type[resource.type] contains resource if {
	some resource in input.resource_changes
	resource.mode == "managed"
	some action in resource.change.actions
	action in {"create", "update"}
}

# METADATA
# description: An attribute as it will be, or undefined when it is not set or not known yet.
after(resource, attribute) := value if {
	value := resource.change.after[attribute]
	value != null
}

# METADATA
# description: True for attributes that are known only once the plan is applied.
unknown(resource, attribute) if resource.change.after_unknown[attribute] == true

# METADATA
# description: |
#   True when the resource's attribute names the target: by the same value, or,
#   since most identifiers are unknown in a plan, by a reference in the
#   configuration.
points_at(resource, attribute, target) if {
	after(resource, attribute) == after(target, attribute)
}

points_at(resource, attribute, target) if {
	module_name(resource) == module_name(target)
	some reference in block(resource).expressions[attribute].references
	reference == sprintf("%s.%s", [target.type, target.name])
}

# METADATA
# description: The documents of a JSON policy's statements, also when there is just one.
statements(policy) := as_array(json.unmarshal(policy).Statement)

as_array(value) := value if is_array(value)

as_array(value) := [value] if not is_array(value)

# METADATA
# description: What a check reports. All checks report the same shape.
violation(resource, rule, text) := {
	"rule": rule,
	"resource": resource.address,
	"message": sprintf("%s: %s", [resource.address, text]),
}

# The resource's block in the configuration, where references can be seen.
block(resource) := found if {
	some found in object.get(input.configuration.root_module, resources_path(resource), [])
	found.type == resource.type
	found.name == resource.name
}

# Where the configuration keeps the resources of module.a.module.b. Going there
# is cheap; walking the whole plan to look for them is not.
resources_path(resource) := array.concat(
	[step |
		some i, name in split(module_name(resource), ".")
		i % 2 == 1
		some step in ["module_calls", name, "module"]
	],
	["resources"],
)

# "module.a[0].module.b" is called "module.a.module.b" in the configuration.
module_name(resource) := regex.replace(object.get(resource, "module_address", ""), `\[[^\]]*\]`, "")
