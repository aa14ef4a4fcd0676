// Draws each [data-chart] from the JSON beside it. Amounts come as whole minor units and are written
// from their digits, never through a fraction, so the drawing says what the ledger says.
"use strict";

(() => {
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = () => window.innerWidth < 640;

  const written = (minor, scale) => {
    if (minor === null || minor === undefined) return "";
    const digits = String(Math.abs(Math.round(minor))).padStart(scale + 1, "0");
    const whole = digits.slice(0, digits.length - scale).replace(/\B(?=(\d{3})+$)/g, ",");
    return (minor < 0 ? "−" : "") + whole + (scale ? "." + digits.slice(-scale) : "");
  };

  const short = (minor, scale, chinese) => {
    const value = minor / 10 ** scale;
    const steps = chinese ? [[1e8, "亿"], [1e4, "万"]] : [[1e9, "bn"], [1e6, "m"], [1e3, "k"]];
    for (const [size, name] of steps) {
      if (Math.abs(value) >= size) return String(Math.round((value / size) * 10) / 10) + name;
    }
    return String(Math.round(value * 100) / 100);
  };

  const option = (data) => {
    const chinese = document.documentElement.lang.startsWith("zh");
    const colours = [1, 2, 3, 4, 5, 6].map((n) => token(`--series-${n}`));
    const ink = token("--ink");
    const soft = token("--ink-soft");
    const line = token("--line");
    const font = getComputedStyle(document.body).fontFamily;
    const value = (minor) => written(minor, data.scale) + (data.unit ? " " + data.unit : "");
    const shared = {
      animation: !still.matches,
      animationDuration: 250,
      color: colours,
      textStyle: { fontFamily: font, color: ink },
      aria: { enabled: true, decal: { show: data.kind !== "line" && data.series.length > 1 } },
      tooltip: {
        trigger: data.kind === "pie" ? "item" : "axis",
        confine: true,
        backgroundColor: token("--surface"),
        borderColor: line,
        textStyle: { color: ink },
        valueFormatter: value,
      },
    };
    if (data.kind === "pie") {
      return {
        ...shared,
        legend: { bottom: 0, type: "scroll", textStyle: { color: ink } },
        series: [{
          type: "pie",
          radius: ["42%", "68%"],
          center: ["50%", "44%"],
          label: narrow() ? { show: false } : { color: ink, formatter: "{b}" },
          itemStyle: { borderColor: token("--surface"), borderWidth: 2 },
          data: data.categories.map((name, i) => ({ name, value: data.series[0].values[i] })),
        }],
      };
    }
    const lying = data.kind === "rows";
    const categories = {
      type: "category",
      data: data.categories,
      inverse: lying,
      boundaryGap: data.kind !== "line",
      axisLabel: lying
        ? { color: ink, width: narrow() ? 110 : 200, overflow: "break" }
        : { color: soft, hideOverlap: true, alignMinLabel: "left", alignMaxLabel: "right" },
      axisLine: { lineStyle: { color: line } },
      axisTick: { show: false },
    };
    const values = {
      type: "value",
      // From zero, but for a line that stays far above it: there the movement would not be seen.
      min: (range) => (data.kind === "line" && range.min > range.max * 0.8 ? null : Math.min(0, range.min)),
      minInterval: data.scale === 0 ? 1 : undefined,
      axisLabel: { color: soft, hideOverlap: true, formatter: (minor) => short(minor, data.scale, chinese) },
      splitLine: { lineStyle: { color: line } },
      scale: true,
    };
    return {
      ...shared,
      legend: data.series.length > 1 ? { top: 0, type: "scroll", textStyle: { color: ink } } : undefined,
      grid: { left: lying ? 14 : 4, right: lying ? 48 : 26, top: data.series.length > 1 ? 36 : 14, bottom: 4, containLabel: true },
      xAxis: lying ? values : categories,
      yAxis: lying ? categories : values,
      series: data.series.map((each, n) => ({
        type: data.kind === "line" ? "line" : "bar",
        step: data.kind === "line" ? "end" : undefined,
        name: each.name,
        // What is missing is red, beside its minus sign.
        data: data.judged
          ? each.values.map((value) => ({ value, itemStyle: { color: token(value < 0 ? "--bad" : "--good") } }))
          : each.values,
        symbol: "none",
        // The second line often lies on the first: dashes let both be seen.
        lineStyle: { width: 2, type: n % 2 ? "dashed" : "solid" },
        label: lying ? { show: true, position: "right", color: ink, formatter: (point) => written(point.value, data.scale) } : undefined,
        areaStyle: data.kind === "line" && data.series.length === 1 ? { opacity: 0.12 } : undefined,
        barMaxWidth: 34,
        emphasis: { focus: "series" },
      })),
    };
  };

  const draw = (place) => {
    const data = JSON.parse(document.getElementById(place.dataset.chart).textContent);
    const chart = echarts.getInstanceByDom(place) || echarts.init(place, null, { renderer: "svg" });
    chart.setOption(option(data), { notMerge: true });
    place.dataset.drawn = "yes";
  };

  const all = () => document.querySelectorAll("[data-chart]").forEach(draw);
  document.addEventListener("DOMContentLoaded", all);
  document.addEventListener("htmx:load", (event) => event.target.querySelectorAll?.("[data-chart]").forEach(draw));
  dark.addEventListener("change", all);
  still.addEventListener("change", all);
  let waiting;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => document.querySelectorAll("[data-chart]").forEach((place) => {
      echarts.getInstanceByDom(place)?.resize();
      draw(place);
    }), 120);
  });
})();
