#include "hostile.h"

#define LFS                                                                       \
	"$(blob 'version https://git-lfs.github.com/spec/v1\\noid "               \
	"sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393" \
	"\\nsize 12345\\n')"
#define IS_LFS "is a Git LFS pointer"
#define ONE "tree 100644 a.rego $P "
#define RULES_ONLY ".manifest a.rego"

const struct hostile hostile_cases[] = {
	/* Paths that lead elsewhere */
	{ "parent folder", "tree 40000 .. $(tree 100644 a.rego $P)",
	    "\"..\": the path has a \"..\" segment", NULL },
	{ "parent folder below",
	    "tree 40000 a $(tree 40000 .. $(tree 100644 a.rego $P))",
	    "\"a/..\": the path has a \"..\" segment", NULL },
	{ "this folder", "tree 40000 . $(tree 100644 a.rego $P)",
	    "\".\": the path has a \".\" segment", NULL },
	{ "slash in a name", "tree 100644 a/b.rego $P",
	    "has a name with a slash in it", NULL },
	{ "traversal in a name", "tree 100644 ../../etc/x.rego $P",
	    "has a name with a slash in it", NULL },
	{ "absolute name", "tree 100644 /etc/x.rego $P",
	    "has a name with a slash in it", NULL },
	{ "backslash", "tree 100644 'a\\b.rego' $P",
	    "\"a\\b.rego\": the path has a backslash", NULL },
	{ "traversal with backslashes", "tree 100644 '..\\..\\x.rego' $P",
	    "the path has a backslash", NULL },
	{ ".git", "tree 40000 .git $(tree 100644 config $P)",
	    "\".git\": the path has a \".git\" segment", NULL },
	{ ".GIT", "tree 40000 .GIT $(tree 100644 config $P)",
	    "\".GIT\": the path has a \".git\" segment", NULL },
	{ ".gIt as a file", "tree 100644 .gIt $P",
	    "\".gIt\": the path has a \".git\" segment", NULL },
	{ ".git below",
	    "tree 40000 sub $(tree 40000 .git $(tree 100644 config $P))",
	    "\"sub/.git\": the path has a \".git\" segment", NULL },
	{ ".git with a dot behind",
	    "tree 40000 .git. $(tree 100644 x.rego $P) 100644 a.rego $P", NULL,
	    RULES_ONLY },
	{ ".git with a joiner in it",
	    "tree 40000 \"$(printf '.g\\342\\200\\214it')\" "
	    "$(tree 100644 x.rego $P) 100644 a.rego $P",
	    NULL, RULES_ONLY },
	{ "short name of .git",
	    "tree 100644 a.rego $P 40000 git~1 $(tree 100644 config $P)", NULL,
	    RULES_ONLY },

	/* Names that are no names */
	{ "line break", "tree 100644 \"$(printf 'a\\nb.rego')\" $P",
	    "the path has a control character", NULL },
	{ "tab", "tree 100644 \"$(printf 'a\\tb.rego')\" $P",
	    "the path has a control character", NULL },
	{ "escape sequence", "tree 100644 \"$(printf 'a\\033[31m.rego')\" $P",
	    "the path has a control character", NULL },
	{ "DEL", "tree 100644 \"$(printf 'a\\177.rego')\" $P",
	    "the path has a control character", NULL },
	{ "C1 control", "tree 100644 \"$(printf 'a\\302\\205.rego')\" $P",
	    "the path has a control character", NULL },
	{ "Latin 1", "tree 100644 \"$(printf '\\351.rego')\" $P",
	    "the path is not UTF-8", NULL },
	{ "overlong dot", "tree 100644 \"$(printf '\\300\\256.rego')\" $P",
	    "the path is not UTF-8", NULL },
	{ "surrogate", "tree 100644 \"$(printf '\\355\\240\\200.rego')\" $P",
	    "the path is not UTF-8", NULL },
	{ "half a character", "tree 100644 \"$(printf 'a\\303')\" $P",
	    "the path is not UTF-8", NULL },
	{ "beyond Unicode",
	    "tree 100644 \"$(printf '\\364\\220\\200\\200')\" $P",
	    "the path is not UTF-8", NULL },
	{ "long name", "tree 100644 $(repeat 1100 a).rego $P",
	    "the path is longer than 1024 bytes", NULL },
	{ "long path",
	    "tree 40000 $(repeat 600 a) $(tree 40000 $(repeat 600 b) $(tree "
	    "100644 c.rego $P))",
	    "the path is longer than 1024 bytes", NULL },
	{ "65 folders", "deep 65 $(tree 100644 a.rego $P)",
	    "nested deeper than 64 folders", NULL },
	{ "500 folders", "deep 500 $(tree 100644 a.rego $P)",
	    "nested deeper than 64 folders", NULL },

	/* What is no file */
	{ "link to the system", "tree 120000 a.rego $(blob /etc/passwd)",
	    "a.rego: a symbolic link", NULL },
	{ "link out of the repository",
	    "tree 40000 a $(tree 120000 data.json $(blob ../../../x))",
	    "a/data.json: a symbolic link", NULL },
	{ "link as a folder",
	    "tree 100644 a.rego $P 120000 lib $(blob /usr/lib)",
	    "lib: a symbolic link", NULL },
	{ "link to itself", "tree 120000 loop $(blob loop)",
	    "loop: a symbolic link", NULL },
	{ "submodule", "tree 100644 a.rego $P 160000 lib $P",
	    "lib: a submodule", NULL },
	{ "submodule below",
	    "tree 40000 a $(tree 160000 vendor $P) 100644 a.rego $P",
	    "a/vendor: a submodule", NULL },
	{ "pipe", "tree 10000 a.rego $P", "a.rego: mode", NULL },
	{ "device", "tree 60000 a.rego $P", "a.rego: mode", NULL },
	{ "socket", "tree 140000 a.rego $P", "a.rego: mode", NULL },
	{ "a file as a folder", "tree 40000 a $P", "a: object", NULL },
	{ "a folder as a file", "tree 100644 a.rego $(tree 100644 b.rego $P)",
	    "a.rego", NULL },
	{ "a file that is not there",
	    "tree 100644 a.rego 1234567890123456789012345678901234567890",
	    "a.rego", NULL },
	{ "a folder that is not there",
	    "tree 40000 a $(tree 40000 b 1234567890123456789012345678901234567890)",
	    "a/b: tree 1234567890123456789012345678901234567890", NULL },

	/* Two that are one elsewhere */
	{ "files but for case", "tree 100644 A.rego $P 100644 a.rego $P",
	    "A.rego and a.rego: these paths are equal", NULL },
	{ "folders but for case",
	    "tree 40000 Lib $(tree 100644 a.rego $P) 40000 lib $(tree 100644 "
	    "a.rego $P)",
	    "Lib/a.rego and lib/a.rego: these paths are equal", NULL },
	{ "case beyond ASCII",
	    "tree 100644 \"$(printf '\\303\\211.rego')\" $P 100644 "
	    "\"$(printf '\\303\\251.rego')\" $P",
	    "these paths are equal", NULL },
	{ "one name twice", "tree 100644 a.rego $P 100644 a.rego $D",
	    "a.rego and a.rego: these paths are equal", NULL },
	{ "file and folder",
	    "tree 100644 a $P 40000 a $(tree 100644 b.rego $P)",
	    "the one is a file where the other needs a folder", NULL },
	{ "file and folder but for case",
	    "tree 40000 A $(tree 100644 b.rego $P) 100644 a $P",
	    "the one is a file where the other needs a folder", NULL },

	/* Names that an engine takes for something else */
	{ "a manifest by its end", ONE "100644 x.manifest $D", NULL,
	    RULES_ONLY },
	{ "a manifest below",
	    ONE "40000 s $(tree 100644 .manifest $(blob '{\"roots\":[]}'))",
	    NULL, RULES_ONLY },
	{ "signatures", ONE "100644 signatures.json $D", NULL, RULES_ONLY },
	{ "hidden signatures",
	    "tree 100644 .signatures.json $D 100644 a.rego $P", NULL,
	    RULES_ONLY },
	{ "signatures by their end", ONE "100644 x.signatures.json $D", NULL,
	    RULES_ONLY },
	{ "signatures below", ONE "40000 s $(tree 100644 .signatures.json $D)",
	    NULL, RULES_ONLY },
	{ "a delta", ONE "100644 patch.json $(blob '{\"data\":[]}')", NULL,
	    RULES_ONLY },
	{ "a delta below", ONE "40000 s $(tree 100644 patch.json $D)", NULL,
	    RULES_ONLY },
	{ "WebAssembly", ONE "100644 policy.wasm $D", NULL, RULES_ONLY },
	{ "a plan", ONE "100644 plan.json $D", NULL, RULES_ONLY },
	{ "a manifest in another form",
	    "tree 100644 .manifest.pb $D 100644 a.rego $P", NULL, RULES_ONLY },
	{ "a folder called .manifest",
	    "tree 40000 .manifest $(tree 100644 x.rego $P) 100644 a.rego $P",
	    NULL, RULES_ONLY },
	{ "an archive", ONE "100644 bundle.tar.gz $D", NULL, RULES_ONLY },
	{ "a policy with an escape",
	    "tree 40000 %2e%2e $(tree 100644 x.rego $P)",
	    "%2e%2e/x.rego: a % in the path of a policy", NULL },
	{ "data with an escape",
	    "tree 40000 %2e%2e $(tree 100644 data.json $D)",
	    "%2e%2e/data.json: engines read the folder name", NULL },
	{ "data in an odd folder",
	    "tree 40000 'a b' $(tree 100644 data.json $D)",
	    "a b/data.json: engines read the folder name", NULL },

	/* Pointers in place of files */
	{ "LFS policy", "tree 100644 a.rego " LFS, "a.rego: " IS_LFS, NULL },
	{ "LFS data", "tree 40000 a $(tree 100644 data.json " LFS ")",
	    "a/data.json: " IS_LFS, NULL },
	{ "LFS data that is YAML too",
	    "tree 40000 a $(tree 100644 data.yaml " LFS ")",
	    "a/data.yaml: " IS_LFS, NULL },
	{ "LFS manifest", "tree 100644 .manifest " LFS " 100644 a.rego $P",
	    ".manifest: " IS_LFS, NULL },

	/* Too much */
	{ "64 MiB and a byte", "tree 100644 a.rego $(zeros 67108865)",
	    "a.rego: 67108865 bytes", BY_HEADER },
	{ "512 MiB in a small pack", "tree 100644 README.md $(zeros 536870912)",
	    "README.md: 536870912 bytes", BY_HEADER },
	{ "512 MiB made by a delta", "tree 100644 a.rego $(bomb)",
	    "a.rego: 536870912 bytes", BY_HEADER },
	{ "a manifest of 512 MiB",
	    "tree 100644 .manifest $(zeros 536870912) 100644 a.rego $P",
	    ".manifest: 536870912 bytes", BY_HEADER },
	{ "an edict.yaml of 512 MiB",
	    "tree 100644 a.rego $P 100644 edict.yaml $(zeros 536870912)",
	    "edict.yaml: 536870912 bytes", BY_HEADER },
	{ "2 GiB in one small pack",
	    "z=$(zeros 67108864); tree $(for i in $(seq 10 42); do echo "
	    "100644 f$i $z; done)",
	    "more than 2147483648 bytes", BY_HEADER },
	{ "folders of folders",
	    "x=$(tree 100644 a.rego $P); x=$(git mktree </dev/null); for i in 1 "
	    "2 3 4 5 6 7 8 9; do x=$(tree 40000 0 $x 40000 1 $x 40000 2 $x "
	    "40000 3 $x 40000 4 $x 40000 5 $x 40000 6 $x 40000 7 $x); done; "
	    "echo $x",
	    "more than 250000 folders", NULL },
	{ "folders of files",
	    "x=$(tree 100644 a.rego $P); for i in 1 2 3 4 5 6 7 8 9; do "
	    "x=$(tree 40000 0 $x 40000 1 $x 40000 2 $x 40000 3 $x 40000 4 $x "
	    "40000 5 $x 40000 6 $x 40000 7 $x); done; echo $x",
	    "more than 250000 folders", NULL },
	{ "a million files and one",
	    "x=$(tree $(for i in $(seq 1000 1999); do echo 100644 $i $D; "
	    "done)); tree $(for i in $(seq 1000 1999); do echo 40000 $i $x; "
	    "done) 100644 z.rego $P",
	    "more than 1000000 files", NULL },

	/* Bombs */
	{ "YAML aliases",
	    "tree 40000 a $(tree 100644 data.yaml $(laughs | git hash-object "
	    "-w --stdin))",
	    "a/data.yaml:", NULL },
	{ "YAML merges",
	    "tree 40000 a $(tree 100644 data.yaml $({ echo 'a0: &a0 {k: 1}'; "
	    "for i in $(seq 1 40); do echo \"a$i: &a$i {<<: [*a$((i-1)), "
	    "*a$((i-1))], k$i: 1}\"; done; } | git hash-object -w --stdin))",
	    "a/data.yaml:", NULL },
	{ "deep YAML",
	    "tree 40000 a $(tree 100644 data.yaml $(repeat 100000 '- ' | git "
	    "hash-object -w --stdin))",
	    "a/data.yaml:1:401: nested deeper than 200", NULL },
	{ "deep JSON",
	    "tree 40000 a $(tree 100644 data.json $(repeat 1000000 [ | git "
	    "hash-object -w --stdin))",
	    "a/data.json:1:1001: nested deeper than 1000", NULL },
	{ "a number of a million digits",
	    "tree 40000 a $(tree 100644 data.json $(repeat 1000000 9 | git "
	    "hash-object -w --stdin))",
	    "a/data.json:1:1: a number longer than 4096 bytes", NULL },
	{ "a long package",
	    "tree 100644 a.rego $({ echo package x; repeat 1000000 x; } | tr "
	    "-d '\\n' | sed 's/packagex/package x/' | git hash-object -w "
	    "--stdin)",
	    "a.rego:1:", NULL },
	{ "a package of many parts",
	    "tree 100644 a.rego $({ printf 'package x'; repeat 100000 .y; } | "
	    "git hash-object -w --stdin)",
	    "a.rego:1: the package's name is longer than", NULL },
	{ "edict.yaml of aliases",
	    "tree 100644 a.rego $P 100644 edict.yaml $(laughs | git "
	    "hash-object -w --stdin)",
	    "edict.yaml", NULL },
	{ "a large edict.yaml",
	    "tree 100644 a.rego $P 100644 edict.yaml $(repeat 300000 '# x\n' | "
	    "git hash-object -w --stdin)",
	    "edict.yaml", NULL },
	{ "a deep manifest",
	    "tree 100644 .manifest $(repeat 100000 [ | git hash-object -w "
	    "--stdin) 100644 a.rego $P",
	    ".manifest:1:1001: nested deeper than 1000", NULL },

	/* What contradicts itself */
	{ "nothing", "git mktree </dev/null", "no policies and no data", NULL },
	{ "no package", "tree 100644 a.rego $(blob 'p := 1\\n')",
	    "a.rego:1: expected \"package NAME\" first", NULL },
	{ "NUL in a package", "tree 100644 a.rego $(blob 'package a\\000b\\n')",
	    NULL, RULES_ONLY },
	{ "NUL in JSON",
	    "tree 40000 a $(tree 100644 data.json $(blob '{\"a\\000\":1}'))",
	    "a/data.json:1:", NULL },
	{ "nested roots",
	    "tree 100644 .manifest $(blob '{\"roots\":[\"a\",\"a/b\"]}') 100644 "
	    "a.rego $P",
	    ".manifest", NULL },
	{ "a package outside the roots",
	    "tree 100644 .manifest $(blob '{\"roots\":[\"b\"]}') 100644 a.rego "
	    "$P",
	    "a.rego:1: package data.a lies outside the roots [b]", NULL },
	{ "data outside the roots",
	    "tree 100644 .manifest $(blob '{\"roots\":[\"b\"]}') 100644 "
	    "data.json $(blob '{\"c\":1}')",
	    "data.json:1: data.c lies outside the roots [b]", NULL },
	{ "data in place of a package",
	    "tree 100644 a.rego $P 100644 data.json $(blob '{\"a\":1}')",
	    "data.json:1: data.a is data (number), but a.rego:1", NULL },
	{ "a manifest with WebAssembly",
	    "tree 100644 .manifest $(blob '{\"wasm\":[{\"module\":\"/x\"}]}') "
	    "100644 a.rego $P",
	    ".manifest:1: wasm", NULL },
	{ "a manifest that speaks for us",
	    "tree 100644 .manifest $(blob '{\"metadata\":{\"edict\":{}}}') "
	    "100644 a.rego $P",
	    ".manifest:1: metadata: the key \"edict\"", NULL },
	{ "edict.yaml that leads out",
	    "tree 100644 a.rego $P 100644 edict.yaml $(blob 'bundles: {m: "
	    "{paths: [../x]}}\\n')",
	    "edict.yaml:1:", NULL },
	{ "edict.yaml with an absolute path",
	    "tree 100644 a.rego $P 100644 edict.yaml $(blob 'bundles: {m: "
	    "{paths: [/etc]}}\\n')",
	    "edict.yaml:1:", NULL },
	{ "edict.yaml that puts files outside",
	    "tree 100644 a.rego $P 100644 edict.yaml $(blob 'bundles: {m: "
	    "{paths: [{from: a.rego, to: ../../x.rego}]}}\\n')",
	    "edict.yaml:1:", NULL },
};
const size_t hostile_case_count = sizeof hostile_cases / sizeof *hostile_cases;
