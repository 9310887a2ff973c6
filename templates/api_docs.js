{% comment %}Swagger UI's own script, and above each operation's answers its samples (x-codeSamples), which it does not show by itself.{% endcomment %}
const Samples = ({ React, specSelectors, getComponent }) => ({ path, method }) => {
  const samples = specSelectors.specJson().getIn(["paths", path, method, "x-codeSamples"]);
  if (!samples) return null;
  const Code = getComponent("HighlightCode", true);
  return React.createElement(
    "div",
    null,
    React.createElement(
      "div",
      { className: "opblock-section-header" },
      React.createElement("h4", { className: "opblock-title" }, "Samples"),
    ),
    samples.toArray().map((one, at) =>
      React.createElement(
        "details",
        { key: one.get("label"), open: at === 0, style: { margin: "12px 20px", overflow: "hidden" } },
        React.createElement("summary", { style: { cursor: "pointer", padding: "8px 0" } }, one.get("label")),
        React.createElement(
          Code,
          { language: one.get("lang") === "Shell" ? "bash" : "python", canCopy: true },
          one.get("source"),
        ),
      ),
    ),
  );
};

const WithSamples = (system) => ({
  wrapComponents: {
    responses: (Original, { React }) => (props) =>
      React.createElement(
        React.Fragment,
        null,
        React.createElement(Samples({ ...system, React }), { path: props.path, method: props.method }),
        React.createElement(Original, props),
      ),
  },
});

{% include "drf_spectacular/swagger_ui.js" %}
