use expect_test::expect;
use ignite_core_model::Runtime;

use super::check;

#[test]
fn go_modules_come_from_here_or_the_proxy() {
    check(
        Runtime::Go,
        &[
            (
                "go.mod",
                r#"module app

go 1.26
toolchain go1.99.1 // newer

replace (
	a.example/in => ./in
	a.example/case v1.0.0 => ./IN
	a.example/up => ../up // above
	"a.example/abs" => "/srv/abs"
	a.example/other => b.example/other v1.2.3
	ignite => ../../sdk
)
replace c.example/x => ../../x
"#,
            ),
            ("in/go.mod", "module a.example/in\n"),
        ],
        &expect![[r#"
            module `a.example/case` is to be in IN, where there is no go.mod
              --> go.mod:8
              | 	a.example/case v1.0.0 => ./IN
            hint: write it as the folder is called: in
            module `a.example/up` is outside this folder, and only this folder is compiled
              --> go.mod:9
              | 	a.example/up => ../up // above
            hint: put it into this folder, or require it from where it is published and take the `replace` out
            module `a.example/abs` is outside this folder, and only this folder is compiled
              --> go.mod:10
              | 	"a.example/abs" => "/srv/abs"
            hint: put it into this folder, or require it from where it is published and take the `replace` out
            module `c.example/x` is outside this folder, and only this folder is compiled
              --> go.mod:14
              | replace c.example/x => ../../x
            hint: put it into this folder, or require it from where it is published and take the `replace` out
        "#]],
    );
    check(
        Runtime::Go,
        &[
            ("go.mod", "module app\ntoolchain go1.30.0\n"),
            ("go.work", "use ../x\n"),
            ("go.env", "GOFLAGS=-toolexec=./evil\n"),
        ],
        &expect![[r#"
            note: go.work is not used: the module of this folder is compiled by itself
            note: go.env is not used: Go's settings are Ignite's
            note: `toolchain go1.30.0` in go.mod is not used: the toolchain is Ignite's
        "#]],
    );
}

#[test]
fn python_packages_are_wheels_of_the_index() {
    check(
        Runtime::Python,
        &[
            (
                "requirements.txt",
                r#"# what we need
pydantic>=2 ; python_version > "3.8"
requests[socks]==2.32.0 \
    --hash=sha256:00
wheel @ https://example.com/wheel-1-py3-none-any.whl#sha256=00
./wheels/own-1-py3-none-any.whl
--require-hashes
-r more/dev.txt
-r ../above.txt
-c https://example.com/constraints.txt
-e .
--editable=git+https://example.com/x.git
--index-url https://evil.example/simple
-fhttps://evil.example
--trusted-host evil.example
--no-binary :all:
x @ file:///srv/x.whl
y @ git+ssh://git@example.com/y.git
z @ git+https://example.com/z.git
git+file:///srv/z.git
http://example.com/a.whl
https://example.com/a.tar.gz
../up.whl
/srv/up.whl
.
./missing.whl
token-${TOKEN}==1
source-1.0.tar.gz
name[extra] >= 2.8, == 2.8.* ; python_version < "3.9"
"#,
            ),
            ("more/dev.txt", "-r ../more/again.txt\n-r ../../out.txt\n"),
            ("more/again.txt", "-r dev.txt\npytest\n"),
            ("wheels/own-1-py3-none-any.whl", ""),
        ],
        &expect![[r#"
            `../../out.txt` is outside this folder, and only this folder is compiled
              --> more/dev.txt:2
              | -r ../../out.txt
            hint: put the file into this folder
            `../above.txt` is outside this folder, and only this folder is compiled
              --> requirements.txt:9
              | -r ../above.txt
            hint: put the file into this folder
            `https://example.com/constraints.txt` is elsewhere, and only this folder is compiled
              --> requirements.txt:10
              | -c https://example.com/constraints.txt
            hint: put the file into this folder
            `-e .` would run the code of a package to install it
              --> requirements.txt:11
              | -e .
            hint: take the line out; a package of this folder is imported as it lies there
            `--editable=git+https://example.com/x.git` would run the code of a package to install it
              --> requirements.txt:12
              | --editable=git+https://example.com/x.git
            hint: take the line out; a package of this folder is imported as it lies there
            `--index-url` would change from where packages come
              --> requirements.txt:13
              | --index-url https://evil.example/simple
            hint: take it out: from which index packages come is set by whoever runs the compiler
            `-f` would change from where packages come
              --> requirements.txt:14
              | -fhttps://evil.example
            hint: take it out: from which index packages come is set by whoever runs the compiler
            `--trusted-host` would change from where packages come
              --> requirements.txt:15
              | --trusted-host evil.example
            hint: take it out: from which index packages come is set by whoever runs the compiler
            `--no-binary` would run the code of packages to install them
              --> requirements.txt:16
              | --no-binary :all:
            hint: take the line out: a package is built only where it has no wheels
            `x @ file:///srv/x.whl` is on the disk of whoever compiles
              --> requirements.txt:17
              | x @ file:///srv/x.whl
            hint: name a wheel in this folder by its path
            `y @ git+ssh://git@example.com/y.git` cannot be fetched: it needs a key, and a compile is given none
              --> requirements.txt:18
              | y @ git+ssh://git@example.com/y.git
            hint: name a version that an index has; sources are built from there only
            `z @ git+https://example.com/z.git` cannot be fetched: its code would have to be run to install it
              --> requirements.txt:19
              | z @ git+https://example.com/z.git
            hint: name a version that an index has; sources are built from there only
            `git+file:///srv/z.git` cannot be fetched: it is on the disk of whoever compiles
              --> requirements.txt:20
              | git+file:///srv/z.git
            hint: name a version that an index has; sources are built from there only
            `http://example.com/a.whl` cannot be fetched: nothing protects it on its way
              --> requirements.txt:21
              | http://example.com/a.whl
            hint: name a package and its version; from which index it comes is set by whoever runs the compiler
            `https://example.com/a.tar.gz` is no wheel: its code would have to be run to install it
              --> requirements.txt:22
              | https://example.com/a.tar.gz
            hint: name a version that an index has; sources are built from there only
            `../up.whl` is outside this folder, and only this folder is compiled
              --> requirements.txt:23
              | ../up.whl
            hint: put the wheel into this folder, and name it there
            `/srv/up.whl` is outside this folder, and only this folder is compiled
              --> requirements.txt:24
              | /srv/up.whl
            hint: put the wheel into this folder, and name it there
            `.` is a folder or a source: its code would have to be run to install it
              --> requirements.txt:25
              | .
            hint: name a version that an index has; sources are built from there only
            there is no missing.whl, which `./missing.whl` names
              --> requirements.txt:26
              | ./missing.whl
            hint: check the path, and that .gitignore and .igniteignore do not leave it out
            `token-${TOKEN}==1` takes a part from the environment, and a compile has none
              --> requirements.txt:27
              | token-${TOKEN}==1
            hint: write the value itself
            `source-1.0.tar.gz` is a folder or a source: its code would have to be run to install it
              --> requirements.txt:28
              | source-1.0.tar.gz
            hint: name a version that an index has; sources are built from there only
        "#]],
    );
}

#[test]
fn a_python_project_has_no_settings_of_tools() {
    check(
        Runtime::Python,
        &[
            (
                "pyproject.toml",
                r#"[project]
name = "a"
dynamic = ["version", "dependencies"]
dependencies = ["pydantic", "x @ file:///srv/x.whl"]
[tool.uv]
index-url = "https://evil.example/simple"
override-dependencies = ["pydantic @ https://evil.example/p.tar.gz"]
[[tool.uv.index]]
url = "https://evil.example"
[tool.uv.sources]
pydantic = { git = "https://evil.example/pydantic" }
[tool.uv.pip]
find-links = ["/srv"]
"#,
            ),
            (
                "uv.lock",
                r#"version = 1
[[package]]
name = "a"
source = { virtual = "." }
[[package]]
name = "fine"
source = { registry = "https://index.example/simple" }
[[package]]
name = "git"
source = { git = "https://evil.example/x?rev=1#2" }
[[package]]
name = "path"
source = { editable = "../x" }
[[package]]
name = "disk"
source = { registry = "/srv/simple" }
"#,
            ),
            ("uv.toml", "index-url = \"https://evil.example\"\n"),
        ],
        &expect![[r#"
            the dependencies are made by the code of a build backend, which is not run
              --> pyproject.toml:3
              | dynamic = ["version", "dependencies"]
            hint: write them as `dependencies = […]`, or into requirements.txt
            `x @ file:///srv/x.whl` is on the disk of whoever compiles
              --> pyproject.toml:4
              | dependencies = ["pydantic", "x @ file:///srv/x.whl"]
            hint: name a wheel in this folder by its path
            `tool.uv.index-url` would change from where packages come, or how they are built
              --> pyproject.toml:6
              | index-url = "https://evil.example/simple"
            hint: take it out: from which index packages come is set by whoever runs the compiler
            `pydantic @ https://evil.example/p.tar.gz` is no wheel: its code would have to be run to install it
              --> pyproject.toml:7
              | override-dependencies = ["pydantic @ https://evil.example/p.tar.gz"]
            hint: name a version that an index has; sources are built from there only
            `tool.uv.index` would change from where packages come, or how they are built
              --> pyproject.toml:8
              | [[tool.uv.index]]
            hint: take it out: from which index packages come is set by whoever runs the compiler
            `tool.uv.sources.pydantic` would take the package from elsewhere than the index
              --> pyproject.toml:11
              | pydantic = { git = "https://evil.example/pydantic" }
            hint: take it out, and name a version that is published
            `tool.uv.pip.find-links` would change from where packages come, or how they are built
              --> pyproject.toml:13
              | find-links = ["/srv"]
            hint: take it out: from which index packages come is set by whoever runs the compiler
            package `git` of uv.lock cannot be fetched from `https://evil.example/x?rev=1#2`: its code would have to be run to install it
              --> uv.lock:10
              | source = { git = "https://evil.example/x?rev=1#2" }
            hint: name a version that is published, and run `uv lock`
            package `path` of uv.lock cannot be fetched from `../x`: it is a folder or a file, and only published packages are installed
              --> uv.lock:13
              | source = { editable = "../x" }
            hint: name a version that is published, and run `uv lock`
            package `disk` of uv.lock cannot be fetched from `/srv/simple`: only packages by https can be fetched
              --> uv.lock:16
              | source = { registry = "/srv/simple" }
            hint: name a version that is published, and run `uv lock`
            `index-url` would change from where packages come, or how they are built
              --> uv.toml:1
              | index-url = "https://evil.example"
            hint: take it out: from which index packages come is set by whoever runs the compiler
        "#]],
    );
    check(
        Runtime::Python,
        &[
            (
                "pyproject.toml",
                "[project]\nname = \"a\"\ndependencies = [\"pydantic\"]\n[tool.uv]\ncompile-bytecode = true\n",
            ),
            ("pip.conf", "[global]\nindex-url = https://evil.example\n"),
            ("uv.toml", "offline = true\n"),
        ],
        &expect![[r#"
            note: pip.conf is not used: the settings of tools are Ignite's
            note: uv.toml is not used: the settings of tools are Ignite's
            note: `tool.uv` in pyproject.toml is not used: the settings of tools are Ignite's
        "#]],
    );
}

#[test]
fn deno_modules_come_from_here_or_the_registries() {
    check(
        Runtime::Deno,
        &[
            (
                "deno.json",
                r#"{
  // ours
  "imports": {
    "zod": "npm:zod@3",
    "hex": "jsr:@std/hex",
    "own": "./lib/mod.ts",
    "up": "../up/mod.ts",
    "disk": "file:///etc/passwd",
    "plain": "http://example.com/mod.ts"
  },
  "scopes": { "./lib/": { "abs": "/srv/mod.ts" } },
  "importMap": "../map.json",
  "allowScripts": ["npm:evil"],
  "workspace": ["./lib", "../other"],
  "links": ["../linked"],
  "compilerOptions": { "types": ["file:///srv/x.d.ts", "./own.d.ts"] },
  "tasks": { "build": "rm -rf /" },
  "lock": "../deno.lock",
}"#,
            ),
            (
                "package.json",
                r#"{
  "scripts": { "postinstall": "node evil.js", "test": "x" }, "workspaces": ["../evil", "in/*"],
  "dependencies": {
    "zod": "^3", "alias": "npm:zod@3",
    "up": "file:../up", "in": "file:./in", "abs": "link:/srv/x",
    "git": "git+ssh://git@example.com/x.git", "short": "owner/repo", "tar": "https://example.com/x.tgz"
  }
}"#,
            ),
            (".npmrc", "; ours\nregistry=https://evil.example\n//evil.example/:_authToken=secret\nfund=false\n"),
        ],
        &expect![[r#"
            `registry` would change from where packages come
              --> .npmrc:2
              | registry=https://evil.example
            hint: take it out; set NPM_CONFIG_REGISTRY where the compiler runs
            `_authToken` is for a registry that whoever runs the compiler sets
              --> .npmrc:3
            hint: take it out of the source; set NPM_CONFIG_REGISTRY where the compiler runs
            `up` is mapped to `../up/mod.ts`, outside this folder, and only this folder is compiled
              --> deno.json:7
              |     "up": "../up/mod.ts",
            hint: put it into this folder, and name it there
            `disk` is mapped to `file:///etc/passwd`, outside this folder, and only this folder is compiled
              --> deno.json:8
              |     "disk": "file:///etc/passwd",
            hint: put it into this folder, and name it there
            `plain` is mapped to `http://example.com/mod.ts`, and nothing protects that on its way
              --> deno.json:9
              |     "plain": "http://example.com/mod.ts"
            hint: name it by `https://`
            `abs` is mapped to `/srv/mod.ts`, outside this folder, and only this folder is compiled
              --> deno.json:11
              |   "scopes": { "./lib/": { "abs": "/srv/mod.ts" } },
            hint: put it into this folder, and name it there
            the import map ../map.json is outside this folder, and only this folder is compiled
              --> deno.json:12
              |   "importMap": "../map.json",
            hint: put it into this folder, and name it there
            `allowScripts` would run the code of packages while they are installed
              --> deno.json:13
              |   "allowScripts": ["npm:evil"],
            hint: take it out: no script of a package is run
            `../other` in `workspace` is outside this folder, and only this folder is compiled
              --> deno.json:14
              |   "workspace": ["./lib", "../other"],
            hint: put it into this folder, and name it there
            `../linked` in `links` is outside this folder, and only this folder is compiled
              --> deno.json:15
              |   "links": ["../linked"],
            hint: put it into this folder, and name it there
            `file:///srv/x.d.ts` in `compilerOptions.types` is outside this folder, and only this folder is compiled
              --> deno.json:16
              |   "compilerOptions": { "types": ["file:///srv/x.d.ts", "./own.d.ts"] },
            hint: put it into this folder, and name it there
            `../evil` in `workspaces` is outside this folder, and only this folder is compiled
              --> package.json:2
              |   "scripts": { "postinstall": "node evil.js", "test": "x" }, "workspaces": ["../evil", "in/*"],
            hint: put it into this folder, and name it there
            dependency `abs` is outside this folder, and only this folder is compiled
              --> package.json:5
              |     "up": "file:../up", "in": "file:./in", "abs": "link:/srv/x",
            hint: put it into this folder, and name it there
            dependency `in` is a folder, and Deno takes packages from npm and jsr
              --> package.json:5
              |     "up": "file:../up", "in": "file:./in", "abs": "link:/srv/x",
            hint: map its name to the folder in `imports` of deno.json
            dependency `up` is outside this folder, and only this folder is compiled
              --> package.json:5
              |     "up": "file:../up", "in": "file:./in", "abs": "link:/srv/x",
            hint: put it into this folder, and name it there
            dependency `git` cannot be fetched from `git+ssh://git@example.com/x.git`: it needs a key, and a compile is given none
              --> package.json:6
              |     "git": "git+ssh://git@example.com/x.git", "short": "owner/repo", "tar": "https://example.com/x.tgz"
            hint: name it by `https://`, or put its code into this folder
            dependency `short` cannot be fetched from `owner/repo`: Deno takes packages from npm and jsr
              --> package.json:6
              |     "git": "git+ssh://git@example.com/x.git", "short": "owner/repo", "tar": "https://example.com/x.tgz"
            hint: name it by `https://`, or put its code into this folder
            dependency `tar` cannot be fetched from `https://example.com/x.tgz`: Deno takes packages from npm and jsr
              --> package.json:6
              |     "git": "git+ssh://git@example.com/x.git", "short": "owner/repo", "tar": "https://example.com/x.tgz"
            hint: name a version that is published
        "#]],
    );
    check(
        Runtime::Deno,
        &[
            (
                "deno.json",
                r#"{"imports": {"own": "./lib/mod.ts"}, "tasks": {}, "lock": {"path": "other.lock"}, "vendor": true}"#,
            ),
            ("package.json", r#"{"scripts": {"postinstall": "node evil.js"}, "dependencies": {"zod": "^3"}}"#),
            ("sub/.npmrc", "registry=https://evil.example\n"),
            (".npmrc", "fund=false\n"),
        ],
        &expect![[r#"
            note: `tasks` in deno.json is not used: no task is run
            note: `lock` in deno.json is not used: the lock file is deno.lock in this folder
            note: `postinstall` in package.json is not run: no script of a package is
            note: .npmrc is not used: the settings of tools are Ignite's
            note: sub/.npmrc is not used: the settings of tools are Ignite's
        "#]],
    );
}

#[test]
fn deno_looks_into_members_and_maps_in_folders() {
    check(
        Runtime::Deno,
        &[
            ("deno.json", "{\"workspace\": [\"./lib\"], \"importMap\": \"config/map.json\"}"),
            ("config/map.json", "{\"imports\": {\"fine\": \"../lib/mod.ts\", \"up\": \"../../up.ts\"}}"),
            ("lib/deno.json", "{\"imports\": {\"fine\": \"../main.ts\", \"disk\": \"FILE:///etc/passwd\"}}"),
            ("lib/package.json", "{\"dependencies\": {\"up\": \"file:../../up\"}}"),
        ],
        &expect![[r#"
            `up` is mapped to `../../up.ts`, outside this folder, and only this folder is compiled
              --> config/map.json:1
              | {"imports": {"fine": "../lib/mod.ts", "up": "../../up.ts"}}
            hint: put it into this folder, and name it there
            `disk` is mapped to `FILE:///etc/passwd`, outside this folder, and only this folder is compiled
              --> lib/deno.json:1
              | {"imports": {"fine": "../main.ts", "disk": "FILE:///etc/passwd"}}
            hint: put it into this folder, and name it there
            dependency `up` is outside this folder, and only this folder is compiled
              --> lib/package.json:1
              | {"dependencies": {"up": "file:../../up"}}
            hint: put it into this folder, and name it there
        "#]],
    );
}
