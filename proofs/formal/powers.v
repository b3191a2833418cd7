(* The compact exponential before any limit: every power of W, and so every partial sum of its series, acts on
   span(X0, K) as the small matrix [[A, -S], [I, 0]] acts on coordinates.
   Source: Edelman, Arias & Smith 1998, theorem 2.1 and corollary 2.2. *)
From mathcomp Require Import all_ssreflect all_algebra.
From StiefelFormal Require Import isometry cayley.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import GRing.Theory.
Local Open Scope ring_scope.

(* Powers of square matrices of any size, 0 x 0 included; mathcomp's ring of matrices starts at 1 x 1. *)
Definition power (R : ringType) n (W : 'M[R]_n) k : 'M[R]_n := iter k (mulmx W) 1%:M.

(* The sum of c_k W^k for k < degree. *)
Definition polynomial (R : ringType) n (c : nat -> R) degree (W : 'M[R]_n) : 'M[R]_n :=
  \sum_(k < degree) c k *: power W k.

Section Powers.
Variable R : comRingType.

Lemma powerS n (W : 'M[R]_n) k : power W k.+1 = W *m power W k.
Proof. by []. Qed.

Lemma powerD n (W : 'M[R]_n) k l : power W (k + l) = power W k *m power W l.
Proof. by elim: k => [|k IH]; rewrite ?mul1mx // addSn !powerS IH mulmxA. Qed.

Lemma powerSr n (W : 'M[R]_n) k : power W k.+1 = power W k *m W.
Proof. by elim: k => [|k IH]; [rewrite mul1mx /power /= mulmx1 | rewrite powerS {1}IH mulmxA]. Qed.

Lemma powerZ n c (W : 'M[R]_n) k : power (c *: W) k = c ^+ k *: power W k.
Proof. by elim: k => [|k IH]; rewrite ?expr0 ?scale1r // !powerS IH -scalemxAl -scalemxAr scalerA exprS. Qed.

Lemma power_tr n (W : 'M[R]_n) k : power W^T k = (power W k)^T.
Proof.
elim: k => [|k IH]; first by rewrite /power /= trmx1.
by rewrite powerS IH -trmx_mul powerSr.
Qed.

Lemma power_intertwines m n (W : 'M[R]_n) (B : 'M[R]_m) (C : 'M[R]_(n, m)) k :
  W *m C = C *m B -> power W k *m C = C *m power B k.
Proof. by move=> WC; elim: k => [|k IH]; rewrite ?mul1mx ?mulmx1 // !powerS -mulmxA IH !mulmxA WC. Qed.

Lemma polynomial_intertwines m n (W : 'M[R]_n) (B : 'M[R]_m) (C : 'M[R]_(n, m)) c degree :
  W *m C = C *m B -> polynomial c degree W *m C = C *m polynomial c degree B.
Proof.
move=> WC; rewrite mulmx_suml mulmx_sumr; apply: eq_bigr => k _.
by rewrite -scalemxAl -scalemxAr (power_intertwines _ WC).
Qed.

Section CompactForm.
Variables (n p : nat) (X0 K : 'M[R]_(n, p)) (A : 'M[R]_p).
Hypotheses (X0_point : on_manifold X0) (K_normal : X0^T *m K = 0).

Definition small_generator (A S : 'M[R]_p) : 'M[R]_(p + p) := block_mx A (- S) 1%:M 0.

Lemma generator_intertwines :
  generator X0 A K *m row_mx X0 K = row_mx X0 K *m small_generator A (K^T *m K).
Proof.
rewrite mul_mx_row generator_base // generator_normal // mul_row_block.
by rewrite mulmx1 mulmx0 addr0 mulmxN.
Qed.

Lemma first_columns_of_product (M : 'M[R]_(p + p)) : lsubmx (row_mx X0 K *m M) = X0 *m ulsubmx M + K *m dlsubmx M.
Proof. by rewrite -{1}(submxK M) mul_row_block row_mxKl. Qed.

(** Every polynomial of W, so every partial sum of exp(W), applied to X0 is X0 T + K N, [T; N] the first p columns of
    the same polynomial of [[A, -S], [I, 0]]. *)
Theorem compact_form_of_every_polynomial c degree (B := polynomial c degree (small_generator A (K^T *m K))) :
  polynomial c degree (generator X0 A K) *m X0 = X0 *m ulsubmx B + K *m dlsubmx B.
Proof.
by rewrite -first_columns_of_product -(polynomial_intertwines _ _ generator_intertwines) mul_mx_row row_mxKl.
Qed.

End CompactForm.
End Powers.
