// The saved page: checks what it holds as soon as it is opened, and says so in either language.
"use strict";

(() => {
  const TEXT = {
    en: {
      checking: "Checking …",
      good: "Verified with the policy below.",
      bad: "Not verified.",
      pinned: "Verified, if the policy below is the one you trust. It came with this file: compare it, or paste the regulator's.",
      unable: "This browser cannot check it: it offers no cryptography to saved files. Use another browser, or tallystick_verify.py.",
      own: "Compare with what you hold",
      ownSays: "Nobody but you can: are these your identifiers and your amount? If not, this proof is not yours.",
      policy: "Whose signatures count",
      policySays: "Take this text from the regulator's or the bank's site, or from your contract, and paste it here.",
      again: "Check again",
      files: "What is in this file",
      about: "This page sends nothing and loads nothing. It works with the network switched off.",
      fields: { origin: "Log", size: "Entries", index: "Entry", asset: "Asset", day: "Day", balance: "Owed to you", total: "Owed to all", customers: "Accounts", identifiers: "Identifiers", witnesses: "Cosigned by", id: "Transfer", debit_account: "From account", credit_account: "To account", amount_minor: "Amount (minor units)", reference: "Reference" },
      kinds: { checkpoint: "Checkpoint", proof: "Entry in the log", history: "Growth of the log", receipt: "Receipt", liability: "Proof of liabilities", page: "Page", unknown: "File" },
    },
    zh: {
      checking: "正在验证……",
      good: "已按下方策略验证通过。",
      bad: "未通过验证。",
      pinned: "若您信任下方策略，则验证通过。该策略随本文件提供：请核对，或粘贴监管机构公布的策略。",
      unable: "此浏览器不向本地文件提供加密功能，无法验证。请换用其他浏览器，或使用 tallystick_verify.py。",
      own: "请与您自己掌握的信息核对",
      ownSays: "只有您能核对：这些是您的标识和金额吗？若不是，这份证明不属于您。",
      policy: "以谁的签名为准",
      policySays: "请从监管机构或存管银行的网站、或您的合同中取得此文本，并粘贴到这里。",
      again: "重新验证",
      files: "本文件的内容",
      about: "本页不发送也不加载任何内容，断网也能使用。",
      fields: { origin: "日志", size: "条目数", index: "条目序号", asset: "资产", day: "日期", balance: "应付给您", total: "负债总额", customers: "账户数", identifiers: "标识", witnesses: "共签方", id: "转账", debit_account: "付款账户", credit_account: "收款账户", amount_minor: "金额（最小单位）", reference: "附言" },
      kinds: { checkpoint: "检查点", proof: "日志中的条目", history: "日志的增长", receipt: "回执", liability: "负债证明", page: "网页", unknown: "文件" },
    },
  };

  const evidence = JSON.parse(document.getElementById("evidence").textContent);
  const state = { language: /^zh/i.test(navigator.language) ? "zh" : "en", policy: evidence.policy ?? "", pasted: false, answers: null, failure: null };

  const made = (name, text, attributes = {}) => {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };

  const fill = (id, ...nodes) => document.getElementById(id).replaceChildren(...nodes);

  async function check() {
    const started = performance.now();
    try {
      if (!globalThis.crypto?.subtle) throw new Error("unable");
      const utf8 = (text) => new TextEncoder().encode(text);
      const policy = state.policy.trim() ? await tallystick.policyOf(utf8(state.policy)) : null;
      const files = new Map(Object.entries(evidence.files).map(([name, text]) => [name, utf8(text)]));
      state.answers = await tallystick.answers(files, { policy });
      state.failure = null;
    } catch (failure) {
      state.answers = null;
      state.failure = failure;
    }
    document.documentElement.dataset.milliseconds = (performance.now() - started).toFixed(2);
    show();
  }

  function facts(answer, words) {
    const list = made("dl");
    for (const [name, label] of Object.entries(words.fields)) {
      let value = answer.facts[name] ?? answer.facts.transfer?.[name];
      if (value === undefined || value === "") continue;
      if (name === "witnesses") value = Object.keys(value).join(", ") || "–";
      if (name === "balance" || name === "total") value = `${tallystick.major(value, answer.facts.scale)} ${answer.facts.asset}`;
      if (Array.isArray(value)) value = value.join(" · ");
      list.append(made("dt", label), made("dd", String(value)));
    }
    return list;
  }

  function show() {
    const { language, answers, failure } = state;
    const words = TEXT[language];
    document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
    for (const button of document.querySelectorAll("[data-language]")) {
      button.setAttribute("aria-pressed", String(button.dataset.language === language));
    }
    const good = answers !== null && answers.length > 0 && answers.every((each) => !each.code);
    const verdict = document.getElementById("verdict");
    verdict.className = good ? "good" : answers || failure ? "bad" : "";
    const refused = failure instanceof tallystick.Refused ? tallystick.told(failure, language) : null;
    const said = good ? (state.pasted ? words.good : words.pinned) : failure ? refused ?? words.unable : words.bad;
    verdict.replaceChildren(made("p", answers || failure ? said : words.checking));
    verdict.dataset.codes = failure ? failure.code ?? "unable" : (answers ?? []).map((each) => each.code).join(" ").trim();
    fill("checks", ...(answers ?? []).map((each) => {
      const box = made("div", undefined, { class: `check ${each.code ? "bad" : "good"}` });
      box.append(made("h2", `${each.code ? "✗" : "✓"} ${words.kinds[each.kind]}: ${each.file}`));
      box.append(made("p", tallystick.told(each, language)));
      if (each.code) box.append(made("small", each.code));
      else box.append(facts(each, words));
      return box;
    }));
    const liable = (answers ?? []).some((each) => each.kind === "liability" && !each.code);
    fill("own", ...(liable ? [made("h2", words.own), made("p", words.ownSays)] : []));
    const area = made("textarea", undefined, { "aria-label": words.policy, spellcheck: "false" });
    area.value = state.policy;
    const button = made("button", words.again, { type: "button" });
    button.addEventListener("click", () => {
      state.pasted = area.value !== evidence.policy;
      state.policy = area.value.endsWith("\n") || !area.value ? area.value : area.value + "\n";
      check();
    });
    fill("policy", made("h2", words.policy), made("p", words.policySays), area, button);
    const details = made("details");
    details.append(made("summary", words.files));
    for (const [name, text] of Object.entries(evidence.files)) details.append(made("h2", name), made("pre", text));
    fill("about", details, made("p", words.about));
  }

  for (const button of document.querySelectorAll("[data-language]")) {
    button.addEventListener("click", () => {
      state.language = button.dataset.language;
      show();
    });
  }
  show();
  check();
})();
