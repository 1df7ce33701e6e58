"""A repository made of links to files that Debian's packages installed."""

def library_dir(repository_ctx):
    """Returns Debian's library directory of this machine's architecture."""
    result = repository_ctx.execute(["uname", "-m"])
    if result.return_code != 0:
        fail("uname -m failed: " + result.stderr)
    return "/usr/lib/" + result.stdout.strip() + "-linux-gnu"

def _system_repository_impl(repository_ctx):
    lib = library_dir(repository_ctx)
    for name, target in repository_ctx.attr.links.items():
        path = repository_ctx.path(target.replace("{lib}", lib))
        if not path.exists:
            fail("%s is missing: run tools/setup, which installs it" % path)
        repository_ctx.symlink(path, name)
    for label, name in repository_ctx.attr.files.items():
        repository_ctx.symlink(label, name)

    package = repository_ctx.attr.build_file_package
    repository_ctx.template(
        package + "/BUILD.bazel" if package else "BUILD.bazel",
        repository_ctx.attr.build_file,
        {"{lib}": lib},
    )

system_repository = repository_rule(
    implementation = _system_repository_impl,
    doc = "`{lib}` in links and in the build file stands for the library directory.",
    local = True,
    attrs = {
        "build_file": attr.label(mandatory = True, allow_single_file = True),
        "build_file_package": attr.string(doc = "the folder that the build file goes to"),
        "files": attr.label_keyed_string_dict(doc = "file of this workspace -> name in the repository"),
        "links": attr.string_dict(doc = "name in the repository -> absolute path"),
    },
)
