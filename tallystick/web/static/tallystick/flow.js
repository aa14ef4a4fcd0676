// Draws each [data-flow] from the JSON beside it: money from left to right, on a phone from top to bottom.
// Amounts come as whole minor units and are written from their digits.
"use strict";

(() => {
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = () => window.innerWidth < 640;

  const written = (minor, data) => {
    const digits = String(minor).padStart(data.scale + 1, "0");
    const whole = digits.slice(0, digits.length - data.scale).replace(/\B(?=(\d{3})+$)/g, ",");
    return whole + (data.scale ? "." + digits.slice(-data.scale) : "") + " " + data.unit;
  };

  // What stands for what became of money: the same colour wherever it is.
  const colour = (node) => ({
    opening: "--series-6", closing: "--series-6", still: "--series-6",
    top_up: "--series-1", withdrawal: "--series-2", fee: "--series-4", lend: "--series-3",
    repay: "--series-3", interest: "--series-5", borrower: "--series-3",
  }[node.kind] || ["--series-1", "--series-1", "--series-6", "--series-2", "--series-3"][node.stage]);

  const option = (data) => {
    const ink = token("--ink");
    const labels = new Map(data.nodes.map((node) => [node.name, node.label]));
    const vertical = narrow();
    // A stage nobody passes takes no room.
    const stages = [...new Set(data.nodes.map((node) => node.stage))].sort();
    const short = (text) => (vertical && text.length > 9 ? text.slice(0, 8) + "…" : text);
    return {
      animation: !still.matches,
      animationDuration: 250,
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: ink },
      aria: { enabled: false },
      tooltip: {
        confine: true,
        backgroundColor: token("--surface"),
        borderColor: token("--line"),
        textStyle: { color: ink },
        // As text and not as markup: a payee's name is whatever somebody typed.
        renderMode: "richText",
        formatter: (point) => point.dataType === "edge"
          ? `${labels.get(point.data.source)}\n→ ${labels.get(point.data.target)}\n${written(point.data.value, data)}`
          : `${labels.get(point.name)}\n${written(point.value, data)}`,
      },
      series: [{
        type: "sankey",
        orient: vertical ? "vertical" : "horizontal",
        left: 4,
        right: vertical ? 4 : 190,
        top: vertical ? 18 : 8,
        bottom: vertical ? 30 : 8,
        nodeWidth: vertical ? 10 : 14,
        nodeGap: vertical ? 6 : 10,
        nodeAlign: "justify",
        layoutIterations: 32,
        draggable: false,
        emphasis: { focus: "trajectory" },
        lineStyle: { color: "source", opacity: 0.3, curveness: 0.5 },
        label: {
          color: ink,
          fontSize: vertical ? 10 : 12,
          width: vertical ? 60 : 180,
          overflow: vertical ? "truncate" : "break",
          position: vertical ? "bottom" : "right",
          formatter: (point) => short(labels.get(point.name)),
        },
        labelLayout: { hideOverlap: true },
        data: data.nodes.map((node) => ({
          name: node.name,
          depth: stages.indexOf(node.stage),
          itemStyle: { color: token(colour(node)), borderWidth: 0 },
        })),
        links: data.links,
      }],
    };
  };

  const draw = (place) => {
    const data = JSON.parse(document.getElementById(place.dataset.flow).textContent);
    const chart = echarts.getInstanceByDom(place) || echarts.init(place, null, { renderer: "svg" });
    chart.setOption(option(data), { notMerge: true });
    place.dataset.drawn = "yes";
  };

  const all = () => document.querySelectorAll("[data-flow]").forEach(draw);
  document.addEventListener("DOMContentLoaded", all);
  dark.addEventListener("change", all);
  still.addEventListener("change", all);
  let waiting;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => document.querySelectorAll("[data-flow]").forEach((place) => {
      echarts.getInstanceByDom(place)?.resize();
      draw(place);
    }), 120);
  });
})();
