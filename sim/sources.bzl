"""sources: the files of this workspace that some targets are built of."""

_SourcesInfo = provider(fields = {"files": "a depset of sources"})

def _collect_impl(_target, ctx):
    own = []
    for attribute in ["srcs", "hdrs", "textual_hdrs"]:
        for file in getattr(ctx.rule.files, attribute, []):
            # "../": of another repository.
            if file.is_source and not file.short_path.startswith("../"):
                own.append(file)
    deps = getattr(ctx.rule.attr, "deps", [])
    return [_SourcesInfo(files = depset(
        own,
        transitive = [dep[_SourcesInfo].files for dep in deps if _SourcesInfo in dep],
    ))]

_collect = aspect(
    implementation = _collect_impl,
    attr_aspects = ["deps"],
)

def _sources_impl(ctx):
    return [DefaultInfo(files = depset(
        transitive = [dep[_SourcesInfo].files for dep in ctx.attr.deps],
    ))]

# All that `deps` are compiled from, and what they depend on, whichever folder
# it is in; but for what is generated, which its own sources stand for, if they
# are targets' `srcs`.
sources = rule(
    implementation = _sources_impl,
    attrs = {"deps": attr.label_list(aspects = [_collect])},
)
