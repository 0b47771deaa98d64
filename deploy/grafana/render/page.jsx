// Draws one dashboard from `window.BOARD`, which render.py writes: panels with the answers that Prometheus gave.
// Everything but the heat map is a component of @grafana/ui; Grafana keeps its heat map out of that package, so here it
// is drawn on the same uPlot, with the same axes, theme and colour scheme.

import { interpolateOranges } from 'd3-scale-chromatic';
import { createRoot } from 'react-dom/client';
import 'uplot/dist/uPlot.min.css';

// `require`, because the ES modules of @grafana/ui import CommonJS packages in a way that only its own bundler allows.
const {
  createTheme, dateTime, EventBusSrv, FieldType, formattedValueToString, getDisplayProcessor, getFieldDisplayName, getValueFormat,
  reduceField, stringToJsRegex, ThemeContext, toDataFrame,
} = require('@grafana/data');
const {
  BigValue, BigValueColorMode, BigValueGraphMode, BigValueTextMode, GlobalStyles, PanelChrome, PanelContextProvider,
  Table, TimeSeries, UPlotChart, UPlotConfigBuilder,
} = require('@grafana/ui');

const { panels, width, mode, range } = window.BOARD;
const theme = createTheme({ colors: { mode } });
const CELL = 30, GAP = 8;
const timeRange = { from: dateTime(range[0]), to: dateTime(range[1]), raw: { from: dateTime(range[0]), to: dateTime(range[1]) } };

const withSteps = (defaults) => ({
  ...defaults,
  thresholds: { ...defaults.thresholds, steps: defaults.thresholds.steps.map((s) => ({ ...s, value: s.value ?? -Infinity })) },
});

// Colour overrides by the name of a series: the only ones that the dashboards use.
const overrides = (panel, name) => Object.assign({}, ...(panel.fieldConfig.overrides ?? [])
  .filter(({ matcher }) => stringToJsRegex(matcher.options).test(name))
  .flatMap(({ properties }) => properties.map(({ id, value }) => ({ [id]: value }))));

function frames(panel, series) {
  const defaults = withSteps(panel.fieldConfig.defaults);
  return series.map(({ name, labels, times, values }, index) => {
    const frame = toDataFrame({
      name,
      fields: [
        { name: 'Time', type: FieldType.time, values: times, config: { custom: defaults.custom } },
        { name: 'Value', type: FieldType.number, values, labels, config: { ...defaults, ...overrides(panel, name), displayNameFromDS: name } },
      ],
    });
    for (const field of frame.fields) {
      field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
      field.state = { ...field.state, seriesIndex: index, displayName: field.type === FieldType.number ? name : null };
    }
    frame.fields[1].state.seriesIndex = index;
    return frame;
  });
}

const context = {
  eventBus: new EventBusSrv(),
  onToggleSeriesVisibility() {}, canAddAnnotations: () => false, sync: () => 0,
};

function Lines({ panel, series, width, height }) {
  if (!series.length) return <Nothing />;
  return (
    <PanelContextProvider value={context}>
      <TimeSeries
        frames={frames(panel, series)} timeRange={timeRange} timeZone="utc" width={width} height={height}
        legend={{ ...panel.options.legend, calcs: panel.options.legend.calcs ?? [] }} theme={theme}
      />
    </PanelContextProvider>
  );
}

const Nothing = () => <div style={{ padding: 20, color: theme.colors.text.secondary }}>No data</div>;

function Figure({ panel, series, width, height }) {
  const defaults = withSteps(panel.fieldConfig.defaults);
  const values = series.length ? frames(panel, series).map((frame) => {
    const field = frame.fields[1];
    return { ...field.display(reduceField({ field, reducers: ['lastNotNull'] }).lastNotNull), title: series.length > 1 || panel.options.textMode === 'name' ? getFieldDisplayName(field, frame) : undefined };
  }) : [{ text: defaults.noValue ?? 'No data', numeric: NaN, color: theme.colors.text.disabled }];
  return values.slice(0, 1).map((value, n) => (
    <BigValue key={n} value={value} width={width} height={height} theme={theme} graphMode={BigValueGraphMode.None}
      colorMode={BigValueColorMode.Value} textMode={panel.options.textMode ?? BigValueTextMode.Auto} />
  ));
}

function Grid({ panel, rows, columns, width, height }) {
  const defaults = withSteps(panel.fieldConfig.defaults);
  const frame = toDataFrame({
    fields: columns.map((name) => {
      const values = rows.map((row) => row[name] ?? null);
      const numeric = values.some((value) => typeof value === 'number');
      return { name, type: numeric ? FieldType.number : FieldType.string, values, config: numeric ? { ...defaults, custom: { ...defaults.custom, align: 'right' } } : { custom: {} } };
    }),
  });
  for (const field of frame.fields) field.display = getDisplayProcessor({ field, theme });
  return <Table data={frame} width={width} height={height} />;
}

function Heat({ panel, bounds, times, counts, width, height }) {
  const format = getValueFormat(panel.options.yAxis.unit);
  const text = (bound) => (bound === null ? '+Inf' : formattedValueToString(format(bound, panel.options.yAxis.unit === 'percentunit' ? 1 : undefined)));
  const most = Math.max(1, ...counts.flat());
  const builder = new UPlotConfigBuilder('utc');
  const step = times.length > 1 ? times[1] - times[0] : 60000;
  builder.addScale({ scaleKey: 'x', isTime: true, orientation: 0, direction: 1, range: () => [range[0], range[1]] });
  builder.addScale({ scaleKey: 'y', isTime: false, orientation: 1, direction: 1, range: () => [0, bounds.length] });
  builder.addAxis({ scaleKey: 'x', isTime: true, placement: 'bottom', theme, timeZone: 'utc' });
  builder.addAxis({
    scaleKey: 'y', placement: 'left', theme, size: 66,
    splits: () => Array.from({ length: 7 }, (_, n) => Math.round((n * bounds.length) / 7)),
    formatValue: (split) => text(bounds[Math.min(Math.round(split), bounds.length - 1)]),
  });
  builder.addSeries({
    scaleKey: 'y', theme, pxAlign: false, show: true, lineWidth: 0,
    pathBuilder: (u) => {
      const ctx = u.ctx;
      ctx.save();
      ctx.beginPath();
      ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
      ctx.clip();
      times.forEach((time, column) => counts[column].forEach((count, row) => {
        if (!(count > 1e-9)) return;
        const share = Math.sqrt(count / most);
        ctx.fillStyle = interpolateOranges(mode === 'dark' ? 1 - 0.85 * share : 0.15 + 0.85 * share);
        const left = u.valToPos(time - step, 'x', true), right = u.valToPos(time, 'x', true);
        const top = u.valToPos(row + 1, 'y', true), bottom = u.valToPos(row, 'y', true);
        ctx.fillRect(left, top, Math.max(right - left, 1), Math.max(bottom - top, 1));
      }));
      ctx.restore();
      return null;
    },
  });
  const data = [times, times.map(() => null)];
  return <UPlotChart config={builder} data={data} width={width} height={height} timeRange={timeRange} />;
}

const kinds = { timeseries: Lines, stat: Figure, table: Grid, heatmap: Heat };
const unit = (width + GAP) / 24;
const bottom = Math.max(...panels.map(({ at }) => at.y + at.h));

function Panel({ panel, at, title, ...answer }) {
  const box = { position: 'absolute', left: at.x * unit, top: at.y * (CELL + GAP), width: at.w * unit - GAP, height: at.h * (CELL + GAP) - GAP };
  if (panel.type === 'row') return <div style={{ ...box, ...theme.typography.h5, color: theme.colors.text.primary, paddingTop: 6 }}>{title}</div>;
  const Kind = kinds[panel.type];
  return (
    <div style={box}>
      <PanelChrome title={title} description={panel.description} width={box.width} height={box.height}>
        {(innerWidth, innerHeight) => <Kind panel={panel} width={innerWidth} height={innerHeight} {...answer} />}
      </PanelChrome>
    </div>
  );
}

createRoot(document.getElementById('root')).render(
  <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    <div id="board" style={{ position: 'relative', width, height: bottom * (CELL + GAP), background: theme.colors.background.canvas }}>
      {panels.map((panel, n) => <Panel key={n} {...panel} />)}
    </div>
  </ThemeContext.Provider>
);
